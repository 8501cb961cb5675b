"""Run a command as systemd's socket activation does: the socket as descriptor 3, and the environment that says so."""

import os
import sys

descriptor, command = int(sys.argv[1]), sys.argv[2:]
os.dup2(descriptor, 3, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(command[0], command)

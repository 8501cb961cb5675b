"""Start the demo agents-server without Django: ``python -m apps.ops.demo --port N``."""

from __future__ import annotations

import argparse
import sys

from apps.ops.demo.serve import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo_agents", description="The demo agents-server.")
    add_arguments(parser)
    sys.exit(main(parser.parse_args()))

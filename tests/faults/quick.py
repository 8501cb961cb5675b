"""Run ``manage.py`` with other figures of the agents link: ``quick.py '{"lease_ttl": 2}' python manage.py serve …``.

Nobody waits for half-open links and leases in a test as long as an installation does.
"""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path.cwd())
figures = json.loads(sys.argv[1])
sys.argv = sys.argv[3:]

from apps.agents.link.options import LinkOptions  # noqa: E402 - the path is set above

fields = [(field.name, field.default) for field in dataclasses.fields(LinkOptions)]
LinkOptions.__init__.__defaults__ = tuple(figures.get(name, default) for name, default in fields)
runpy.run_path(sys.argv[0], run_name="__main__")

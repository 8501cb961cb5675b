"""``python -m tests.faults``: the long set. Each row of the fault tests again and again, then a random mix of faults.

    python -m tests.faults --repeat 20 --minutes 30    what is promised: about an hour, two rounds at a time
    python -m tests.faults --repeat 1 --minutes 0.5    does it run?
    python -m tests.faults --only redis                rows whose names hold a word, as pytest's -k has it
    python -m tests.faults --postgres                  on PostgreSQL instead of SQLite
    python -m tests.faults --seed 7                    the same seeds again

It stays on loopback, ends by itself, and writes ``results/<date>.md`` and ``.jsonl``. The exit code is 1 when a promise
was broken; the report names the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import random
import signal
import sys
import time

from tests.faults import long
from tests.support.services import Postgres, Redis


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 0 when every promise was kept."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    results = long.Results(
        machine=long.machine(),
        commit=long.commit(),
        started=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=" ".join(["python -m tests.faults", *arguments]),
    )
    seeds = random.Random(options.seed)
    _say(f"seed {options.seed}")
    began = time.monotonic()

    def keep() -> None:
        results.seconds = time.monotonic() - began
        if options.save:
            long.save(results, long.HERE / "results")

    with contextlib.ExitStack() as stack:
        runners = []
        for _ in range(options.jobs):
            redis, postgres = stack.enter_context(Redis()), stack.enter_context(Postgres())
            services = {"AUTOCODE_TEST_REDIS_URL": redis.url, "AUTOCODE_TEST_POSTGRES_URL": postgres.url}
            services |= {"DATABASE_URL": postgres.url} if options.postgres else {}
            environment = os.environ | {"DJANGO_SETTINGS_MODULE": "autocode.settings.test"} | services
            runners.append(long.Runner(results, _say, environment))
        try:
            long.play(
                runners, repeat=options.repeat, minutes=options.minutes, only=options.only, seeds=seeds, after_each=keep
            )
        except KeyboardInterrupt:
            results.broken.append("stopped early")
    results.seconds = time.monotonic() - began
    sys.stdout.write(long.text(results) + "\n")
    if options.save:
        for path in long.save(results, long.HERE / "results"):
            sys.stdout.write(f"saved {path.relative_to(long.ROOT)}\n")
    return 1 if results.violations or not results.rows else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Faults, again and again.")
    parser.add_argument("--repeat", type=int, default=20, help="repeats of each row (default 20)")
    parser.add_argument("--minutes", type=float, default=30.0, help="minutes of a random mix afterwards (default 30)")
    parser.add_argument("--only", default="", help="rows whose names hold this, in the words of pytest's -k")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at the same time, each with its own services")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="what all seeds come from")
    parser.add_argument("--no-save", dest="save", action="store_false", help="only print")
    return parser.parse_args(arguments)


def _say(message: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

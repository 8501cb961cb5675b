"""The long set: every row again and again, then a random mix, and what came of it.

A row is a test of this folder. Each repeat is one run of pytest over all rows, with a seed of its own; the plugin
``tests.faults.record`` notes what each came to.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
LEFT_OUT: Final = ("test_checker.py", "test_mix.py")
"""The checker's own tests are no faults, and the mix comes by itself."""

ROUND_S: Final = 60
"""The length of one round of the mix: the next one begins on a new stage, with a new seed."""
REPEAT_S: Final = 3_600
"""After which a repeat of all rows hangs, and is ended."""

PROMISED_S: Final = {
    "nothing": 2.0,
    "a_server_is_killed": 10.0,
    "every_server_is_restarted": 10.0,
    "a_server_freezes": 25.0,
    "redis_dies_and_comes_back_empty": 3.0,
    "redis_forgets_and_hangs_up": 3.0,
    "redis_holds_its_breath": 3.0,
    "nobody_notices_and_nobody_is_turned_away": 3.0,
    "every_line_is_cut_every_two_seconds": 15.0,
    "lines_break_in_the_middle_of_a_frame": 15.0,
    "lines_are_silent": 28.0,
    "what_was_stored_is_seen_and_its_author_gets_the_first_answer": 10.0,
    "a_request_whose_answer_was_lost_is_answered_alike_and_carried_out_once": 10.0,
    "the_agents_news_arrives_whole_and_once": 10.0,
    "what_was_sent_and_not_marked_is_sent_again_and_has_one_effect": 10.0,
    "it_is_away_and_comes_back": 3.0,
    "it_hangs_up_and_refuses": 3.0,
    "it_is_there_and_does_not_answer": 3.0,
    "connections_are_used_up": 3.0,
    "a_locked_project_makes_nobody_wait_but_its_own_people": 3.0,
    "descriptors_are_used_up": 10.0,
    "sqlite": 3.0,
    "postgres_has_no_room_for_its_data": 3.0,
    "postgres_has_no_room_for_its_log": 3.0,
    "the_servers_have_no_room_for_their_logs": 3.0,
    "one_servers_clock_jumps": 2.0,
    "who_sleeps_for_too_long_begins_anew": 15.0,
    "a_random_mix_loses_and_repeats_nothing": 28.0,
}
"""By a row's fault, or by its test: seconds from the end of the fault until everybody has seen everything. For a killed
server that is the 10 s in which everybody is elsewhere; for the mix the longest of its faults."""


@dataclass
class Row:
    """All repeats of one test."""

    name: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def short(self) -> str:
        """The name without the file's place, and its fault alone where it has one."""
        file, _, test = self.name.rpartition("/")[2].partition("::")
        return f"{file.removeprefix('test_').removesuffix('.py')}: {test.removeprefix('test_')}"

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["outcome"] == "failed"]

    def sum(self, name: str) -> int | None:
        """Return the sum of a figure, or None where no run has it."""
        values = [run[name] for run in self.runs if name in run]
        return sum(values) if values else None

    @property
    def recoveries(self) -> list[float]:
        return [run["recovery_s"] for run in self.runs if "recovery_s" in run]

    @property
    def promised_s(self) -> float | None:
        """Return the time that is promised for its recovery."""
        test, _, fault = self.name.rpartition("::test_")[2].rstrip("]").partition("[")
        return PROMISED_S.get(fault, PROMISED_S.get(test))

    @property
    def late(self) -> bool:
        return self.promised_s is not None and max(self.recoveries, default=0.0) > self.promised_s


@dataclass
class Results:
    """What the long set came to."""

    machine: str
    commit: str
    started: str
    command: str
    rows: dict[str, Row] = field(default_factory=dict)
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    """Runs of pytest that ended without having told what of."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, runs: list[dict[str, Any]], seed: int) -> None:
        """Take in what a run of pytest noted."""
        with self._lock:
            for run in runs:
                run["seed"] = seed
                self.rows.setdefault(run["row"], Row(run["row"])).runs.append(run)

    @property
    def violations(self) -> list[str]:
        """What is wrong, with the seed that plays it again."""
        found = [
            f"{row.name}, seed {run['seed']}: {run.get('why', '').strip().splitlines()[-1:]}"
            for row in self.rows.values()
            for run in row.failed
        ]
        found += [
            f"{row.name}: recovered too late ({max(row.recoveries):.1f} s)" for row in self.rows.values() if row.late
        ]
        return found + self.broken


class Runner:
    """Runs pytest with one seed and takes in what the plugin wrote."""

    def __init__(self, results: Results, say: Callable[[str], None], environment: dict[str, str]) -> None:
        self._results, self._say, self._environment = results, say, environment

    def rows(self, selection: Sequence[str], seed: int, environment: Mapping[str, str]) -> None:
        """Run the selected rows once."""
        with tempfile.TemporaryDirectory(prefix="autocode-faults-") as directory:
            record = Path(directory) / "record.jsonl"
            values = {"AUTOCODE_TEST_SEED": str(seed), "FAULTS_RECORD": str(record), **environment}
            options = ["-q", "-p", "tests.faults.record", "-p", "no:cacheprovider", "--basetemp", f"{directory}/tmp"]
            command = [sys.executable, "-m", "pytest", *selection, *options]
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env=self._environment | values, timeout=REPEAT_S, capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                self._results.broken.append(f"seed {seed}: pytest did not end within {REPEAT_S} s")
                return
            lines = record.read_text().splitlines() if record.exists() else []
        runs = [json.loads(line) for line in lines]
        self._results.take(runs, seed)
        failed = [run for run in runs if run["outcome"] == "failed"]
        self._say(f"seed {seed}: {len(runs)} rows, {len(failed)} failed {[run['row'] for run in failed] or ''}")
        if done.returncode not in {0, 1, 5} or (done.returncode == 1 and not failed):
            self._results.broken.append(f"seed {seed}: pytest ended with {done.returncode}: {done.stdout[-500:]}")


def play(
    runners: Sequence[Runner],
    *,
    repeat: int,
    minutes: float,
    only: str,
    seeds: random.Random,
    after_each: Callable[[], None],
) -> None:
    """Play every row ``repeat`` times, and then the mix for so many minutes; each runner one round at a time."""
    choice = ["-k", only] if only else []
    files = [str(path.relative_to(ROOT)) for path in sorted(HERE.glob("test_*.py")) if path.name not in LEFT_OUT]
    mix = f"{HERE.relative_to(ROOT)}/test_mix.py"
    rounds: list[tuple[Sequence[str], dict[str, str]]] = []
    for number in range(repeat):
        # The first one tries each call; the others try some, wherever their seed begins.
        every = {"AUTOCODE_TEST_EVERY": "1"} if number == 0 and repeat > 1 else {}
        rounds.append(([*files, *choice], every))
    left = round(minutes * 60)
    while left > 1:
        rounds.append(([mix], {"FAULTS_MIX_S": str(min(ROUND_S, max(5, left)))}))
        left -= ROUND_S
    waiting = iter(rounds)
    lock = threading.Lock()

    def carry_on(runner: Runner) -> None:
        while True:
            with lock:
                following, seed = next(waiting, None), seeds.randrange(1_000_000)
            if following is None:
                return
            runner.rows(following[0], seed, following[1])
            with lock:
                after_each()

    with ThreadPoolExecutor(len(runners)) as pool:
        list(pool.map(carry_on, runners))


def text(results: Results) -> str:
    """Return the report."""
    rows = sorted(results.rows.values(), key=lambda row: row.name)
    delivered = sum(row.sum("delivered") or 0 for row in rows)
    expected = sum((row.sum("expected") or 0) - (row.sum("skipped") or 0) for row in rows)
    runs = sum(len(row.runs) for row in rows)
    lost, doubled = (sum(row.sum(name) or 0 for row in rows) for name in ("lost", "doubled"))
    lines = [
        f"# Faults, {results.started[:10]}",
        "",
        f"`{results.command}` at commit {results.commit}, {results.seconds / 60:.0f} minutes on {results.machine}.",
        "",
        f"{runs} runs of {len(rows)} rows; violations: {len(results.violations)}. {delivered:,} of {expected:,} events",
        f"delivered ({100 * delivered / max(1, expected):.3f} %), in order and once; lost {lost}, doubled {doubled}.",
        "",
        "Recovery is the time from the end of a fault until everybody has been shown everything that was stored then.",
        "`AUTOCODE_TEST_SEED=<seed> ./test <row>` plays a row again; all seeds stand in the lines beside this page.",
        "",
        "| row | repeats | failed | commands | delivered | of | lost | doubled | recovery: median | worst | promised |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        times = row.recoveries
        due = None if row.sum("expected") is None else (row.sum("expected") or 0) - (row.sum("skipped") or 0)
        cells = [
            row.short, len(row.runs), len(row.failed), row.sum("commands"), row.sum("delivered"), due,
            row.sum("lost"), row.sum("doubled"),
            f"{statistics.median(times):.2f} s" if times else None,
            f"{max(times):.2f} s" if times else None,
            f"{row.promised_s:.0f} s" if row.promised_s is not None else None,
        ]  # fmt: skip
        lines.append(
            "| "
            + " | ".join("–" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
            + " |"
        )
    lines += ["", "## Seeds", ""]
    seeds = list(dict.fromkeys(str(run["seed"]) for row in rows for run in row.runs))
    lines += [", ".join(seeds), ""]
    if results.violations:
        lines += ["## Violations", "", *(f"- {one}" for one in results.violations), ""]
    return "\n".join(lines)


def save(results: Results, directory: Path) -> list[Path]:
    """Write the report and its figures (a line about all, then one for each run); return where."""
    directory.mkdir(exist_ok=True)
    page, data = (directory / f"{results.started[:10]}.{kind}" for kind in ("md", "jsonl"))
    page.write_text(text(results))
    head = {
        "machine": results.machine,
        "commit": results.commit,
        "started": results.started,
        "command": results.command,
        "seconds": round(results.seconds),
        "violations": results.violations,
    }
    runs = [_rounded(run) for row in results.rows.values() for run in row.runs]
    data.write_text("".join(json.dumps(line) + "\n" for line in (head, *runs)))
    return [page, data]


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in run.items()}


def machine() -> str:
    """Return the machine in a few words."""
    import platform

    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def commit() -> str:
    """Return the commit of the working copy, with a mark when something was changed since."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return name.stdout.strip() + (" and changes" if changed.stdout.strip() else "")

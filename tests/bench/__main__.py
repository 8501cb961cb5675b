"""``python -m tests.bench``: AutoCode beside its peers, in one run, on this machine.

    python -m tests.bench                          everything: more than an hour
    python -m tests.bench --quick                  less than a minute: a few peers, short runs
    python -m tests.bench --only room200,connect   some scenarios
    python -m tests.bench --peers autocode,node-ws some peers
    python -m tests.bench --list                   what there is

Only 127.0.0.1 is used. The peers are installed into tests/bench/.cache on the first run. Everything that was started
is ended, also after Ctrl-C, SIGTERM, or when the deadline passes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import resource
import signal
import sys
import time
from types import FrameType

from tests.bench import install, report
from tests.bench.arena import Arena, PeerError
from tests.bench.machine import describe, share_out
from tests.bench.roster import PEERS, Peer, autocode_ready
from tests.bench.scenarios import SCENARIOS, Pace, Scenario

QUICK_PEERS = ("channels-daphne", "websockets", "autocode")
QUICK = Pace(seconds=1.5, warm=1.0, hold=1.0, shrink=5)
BUSY = 0.5
"""Load average above which a word of warning is due."""

RESULTS = install.HERE / "results"


class Stopped(BaseException):
    """The run is to end now; not an ``Exception``, so that no peer's handler swallows it."""


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 0 when every contest gave figures."""
    options = _parse(arguments)
    scenarios, peers = _chosen(options)
    if options.list:
        _list()
        return 0
    _raise_limits()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _stop)
    cores = share_out(os.sched_getaffinity(0))
    peers = _installed(peers)
    os.sched_setaffinity(0, cores.load)
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    shown = {name: getattr(options, name) for name in ("quick", "only", "peers", "repeat", "seconds")}
    results = report.Results(machine=describe(cores), started=started, options=shown)
    began = time.monotonic()
    if os.getloadavg()[0] > BUSY:
        _say("this machine is busy with something else: the figures will be worse than they are")
    contests = sum(scenario.takes(peer) for scenario in scenarios for peer in peers) * options.repeat
    signal.alarm(options.deadline or int(60 + contests * ((20 if options.quick else 90) + options.hold)))
    try:
        with Arena(cores, say=_say) as arena:
            for scenario in scenarios:
                _play(arena, scenario, peers, results, pace=_pace(options), repeats=options.repeat)
    except Stopped as stopped:
        results.errors.append(f"stopped early: {stopped}")
    finally:
        signal.alarm(0)
    results.seconds = time.monotonic() - began
    _finish(results, options)
    return 1 if results.errors else 0


def _play(
    arena: Arena, scenario: Scenario, peers: list[Peer], results: report.Results, *, pace: Pace, repeats: int
) -> None:
    """Let the peers take turns: what drifts on the machine meets all of them."""
    repeats = min(repeats, scenario.most_repeats)
    for repeat in range(repeats):
        for peer in peers:
            if not scenario.takes(peer):
                continue
            _say(f"{scenario.name} · {peer.label} · {repeat + 1}/{repeats}")
            try:
                results.add(scenario.name, peer.name, scenario.run(arena, peer, pace))
            except (PeerError, RuntimeError, OSError, AssertionError, KeyError) as error:
                message = f"{scenario.name}, {peer.label}: {type(error).__name__}: {error}"
                results.errors.append(message)
                _say(message)


def _finish(results: report.Results, options: argparse.Namespace) -> None:
    sys.stdout.write(f"\n{report.text(results)}\n\n{results.machine['placement']}; {results.seconds:.0f} s\n")
    if options.save and results.found:
        name = f"{results.started[:10]}-{options.name}"
        directory = install.CACHE / "results" if options.quick else RESULTS  # a quick look is nothing to keep
        for path in report.save(results, directory, name):
            sys.stdout.write(f"saved {path.relative_to(install.ROOT)}\n")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="AutoCode beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a few peers and scenarios, in less than a minute")
    parser.add_argument("--only", default="", help="scenarios, separated by commas")
    parser.add_argument("--peers", default="", help="peers, separated by commas")
    parser.add_argument("--repeat", type=int, default=0, help="repeats (default 3, quick 1)")
    parser.add_argument("--seconds", type=float, default=0, help="length of one measurement (default 8, quick 1.5)")
    parser.add_argument("--hold", type=float, default=0, help="seconds for which idle connections are kept")
    parser.add_argument(
        "--deadline", type=int, default=0, help="seconds after which all ends (default: by what is to do)"
    )
    parser.add_argument("--name", default="", help="name of the saved results (default full or quick)")
    parser.add_argument("--no-save", dest="save", action="store_false", help="only print")
    parser.add_argument("--list", action="store_true", help="print the scenarios and peers")
    options = parser.parse_args(arguments)
    options.repeat = options.repeat or (1 if options.quick else 3)
    options.name = options.name or ("quick" if options.quick else "full")
    return options


def _chosen(options: argparse.Namespace) -> tuple[list[Scenario], list[Peer]]:
    names = [name for name in options.only.split(",") if name]
    names = names or [name for name, one in SCENARIOS.items() if one.quick or not options.quick]
    wanted = [name for name in options.peers.split(",") if name]
    wanted = wanted or [
        name for name, one in PEERS.items() if (name in QUICK_PEERS if options.quick else one.by_default)
    ]
    unknown = [name for name in names if name not in SCENARIOS] + [name for name in wanted if name not in PEERS]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; --list shows what there is")
    return [SCENARIOS[name] for name in names], [PEERS[name] for name in wanted]


def _installed(peers: list[Peer]) -> list[Peer]:
    """Install what the peers need; return those that can run here, and say why the others cannot."""
    able, known = [], {"python": install.python_peers, "node": install.node_peers}
    broken: set[str] = set()
    for need in sorted({peer.needs for peer in peers} & set(known)):
        _say(f"installing the {need} peers, if they are not there yet")
        try:
            known[need]()
        except install.InstallError as error:
            broken.add(need)
            _say(f"left out, {need}: {error}")
    for peer in peers:
        if peer.is_autocode and not autocode_ready():
            _say(f"left out, {peer.label}: there is no manage.py serve yet")
        elif peer.needs not in broken:
            able.append(peer)
    return able


def _pace(options: argparse.Namespace) -> Pace:
    base = QUICK if options.quick else Pace()
    return Pace(options.seconds or base.seconds, base.warm, options.hold or base.hold, base.shrink)


def _list() -> None:
    for name, scenario in SCENARIOS.items():
        sys.stdout.write(f"{name:16} {scenario.title}{' (quick)' if scenario.quick else ''}\n")
    sys.stdout.write("\n")
    for name, peer in PEERS.items():
        sys.stdout.write(f"{name:22} {peer.label}: {peer.note}{'' if peer.by_default else ' (only when named)'}\n")


def _raise_limits() -> None:
    """Allow as many open files as the system lets us have; the servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, 65_536), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
            return
        except (ValueError, PermissionError):
            continue


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # cleaning up must not be interrupted by the clock
    raise Stopped("the deadline passed" if number == signal.SIGALRM else signal.Signals(number).name)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

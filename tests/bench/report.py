"""What a run leaves behind: tables for the terminal and for Markdown, everything as JSON. Pure but for ``save``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Spread
from tests.bench.plot import Bar, Panel, draw
from tests.bench.roster import PEERS
from tests.bench.scenarios import SCENARIOS, Metrics, Scenario

BUSY_PCT = 90
"""Above this share of its core the load itself may have been the limit; such figures are marked."""


QUICK = "A quick look: scenarios above 200 viewers had a fifth of them, and one short repeat proves nothing."


@dataclass(slots=True)
class Results:
    """All figures of a run: ``found[scenario][peer]`` is a list with one entry for each repeat."""

    machine: Mapping[str, object]
    started: str
    options: Mapping[str, object]
    found: dict[str, dict[str, list[Metrics]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, scenario: str, peer: str, metrics: Metrics) -> None:
        """Keep one repeat."""
        self.found.setdefault(scenario, {}).setdefault(peer, []).append(metrics)

    def spread(self, scenario: str, peer: str, key: str) -> Spread:
        """Return the repeats of one figure; empty when there are none."""
        repeats = self.found.get(scenario, {}).get(peer, [])
        return Spread.of([repeat[key] for repeat in repeats if key in repeat])

    def as_json(self) -> str:
        """Return everything, every repeat included; what could not be measured is null."""
        clean = {
            scenario: {
                peer: [
                    {key: None if math.isnan(value) else round(value, 4) for key, value in one.items()} for one in all_
                ]
                for peer, all_ in peers.items()
            }
            for scenario, peers in self.found.items()
        }
        value = {
            "started": self.started, "seconds": round(self.seconds), "options": dict(self.options),
            "machine": dict(self.machine), "results": clean, "errors": self.errors,
        }  # fmt: skip
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def rows(results: Results, scenario: Scenario) -> list[list[str]]:
    """Return the scenario's table, headings first."""
    table = [["peer", *(column.heading for column in scenario.columns)]]
    for peer in results.found.get(scenario.name, {}):
        cells = [results.spread(scenario.name, peer, column.key).text(column.decimals) for column in scenario.columns]
        load = results.spread(scenario.name, peer, "load_pct").median
        mark = " ⚠" if load > BUSY_PCT else ""
        if results.spread(scenario.name, peer, "disorder").high > 0:
            mark += " ≠"
        table.append([PEERS[peer].label + mark, *cells])
    return table


def aligned(table: Sequence[Sequence[str]]) -> str:
    """Return ``table`` for a terminal: the first column to the left, figures to the right."""
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def markdown_table(table: Sequence[Sequence[str]]) -> str:
    """Return ``table`` in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in table]
    lines.insert(1, "|---" + "|---:" * (len(table[0]) - 1) + "|")
    return "\n".join(lines)


def text(results: Results) -> str:
    """Return all tables for a terminal."""
    parts = []
    for name in results.found:
        scenario = SCENARIOS[name]
        parts.append(f"{scenario.title}  [{name}]\n{aligned(rows(results, scenario))}")
    if results.options.get("quick"):
        parts.append(QUICK)
    return "\n\n".join([*parts, *results.errors])


def markdown(results: Results, picture: str) -> str:
    """Return the report as Markdown; ``picture`` is the file name of the plot."""
    machine = results.machine
    peers = {peer for found in results.found.values() for peer in found}
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memoryGiB']} GiB, {machine['system']}, "
        f"Python {machine['python']}, Node {machine['node']}, Redis {machine['redis']}. {machine['placement']}. "
        f"Load average before the run: {machine.get('busyBefore', '–')}."
    )
    how = (
        f"Each figure is the median of {results.options.get('repeat', 1)} repeats (lowest–highest), the peers taking "
        "turns. Payload 100 bytes. CPU is user and system time of all processes of the server, without Redis and "
        f"PostgreSQL. ⚠ marks runs in which the load used more than {BUSY_PCT} % of its own core, ≠ those in which "
        "messages came twice or out of order."
    )
    lines = [
        f"# Benchmark of {results.started[:10]}",
        "",
        f"![Figures of the run]({picture})",
        "",
        where,
        "",
        how,
        "",
        *([QUICK, ""] if results.options.get("quick") else []),
        *(f"- {PEERS[name].label}: {PEERS[name].note}" for name in PEERS if name in peers),
        "",
    ]
    for name in results.found:
        scenario = SCENARIOS[name]
        lines += [f"## {scenario.title}", "", markdown_table(rows(results, scenario)), ""]
    if results.errors:
        lines += ["## What did not work", "", *(f"- {error.splitlines()[0]}" for error in results.errors), ""]
    lines += [
        "## Versions",
        "",
        _versions("Peers", machine.get("peers")),
        _versions("AutoCode", machine.get("autocode")),
        "",
    ]
    return "\n".join(lines)


def panels(results: Results) -> list[Panel]:
    """Return the plot's panels: the figures that people ask for first."""
    chosen = (
        ("room200", "cpu_us", "Server CPU per delivery, 200 viewers, 100 messages/s", "µs"),
        ("room1000", "cpu_us", "Server CPU per delivery, 1,000 viewers", "µs"),
        ("room200-calm", "p99_ms", "p99 latency, 200 viewers, 20 messages/s", "ms"),
        ("rooms250", "p99_ms", "p99 latency, 5,000 viewers in 250 rooms", "ms"),
        ("saturation", "rate", "Deliveries a second at saturation", ""),
        ("connect", "per_s", "Connect and join, 1,000 at once: joined a second", ""),
        ("idle10000", "kib", "Memory per idle connection, 10,000 of them", "KiB"),
        ("idle2000", "kib", "Memory per idle connection, 2,000 of them", "KiB"),
    )
    return [
        Panel(title, unit, list(_bars(results, scenario, key)))
        for scenario, key, title, unit in chosen
        if scenario in results.found
    ]


def save(results: Results, directory: Path, name: str) -> list[Path]:
    """Write ``name`` with .json, .md and .svg into ``directory``; return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        directory / f"{name}.json": results.as_json(),
        directory / f"{name}.md": markdown(results, f"{name}.svg"),
        directory / f"{name}.svg": draw(panels(results), subtitle=_subtitle(results)),
    }
    for path, content in written.items():
        path.write_text(content, encoding="utf-8")
    return list(written)


def _bars(results: Results, scenario: str, key: str) -> Iterable[Bar]:
    for peer in results.found[scenario]:
        spread = results.spread(scenario, peer, key)
        if spread.count:
            yield Bar(PEERS[peer].label, spread.median, spread.low, spread.high, ours=PEERS[peer].is_autocode)


def _subtitle(results: Results) -> str:
    machine = results.machine
    return f"{results.started[:10]} · {machine['cpu']} · Python {machine['python']} · one server process on one core"


def _versions(label: str, found: object) -> str:
    named = found if isinstance(found, dict) else {}
    return f"{label}: " + ", ".join(f"{name} {version}" for name, version in named.items()) + "  "

"""Horizontal bars as SVG, written by hand: no dependency, and readable on light and dark pages. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 860
LABEL = 190
"""Pixels for the names on the left."""
VALUE = 150
"""Pixels kept free on the right for the figures."""
ROW = 24
BAR = 14

_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .small { font-size: 11px; fill: #59636e }
  .bar { fill: #8c959f } .ours { fill: #0969da } .range { stroke: #59636e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .bar { fill: #656c76 } .ours { fill: #4493f8 } .range { stroke: #9198a1 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with the range of its repeats; ``ours`` stands out."""

    label: str
    value: float
    low: float
    high: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of one unit, from zero: a cut axis would lie about the ratio."""

    title: str
    unit: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel], *, subtitle: str = "") -> str:
    """Return an SVG document with the panels below one another."""
    body: list[str] = []
    y = 8
    for panel in panels:
        y = _panel(panel, y, body)
    if subtitle:
        body.append(f'<text class="small" x="12" y="{y + 10}">{escape(subtitle)}</text>')
        y += 20
    names = "; ".join(panel.title for panel in panels)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 4}" width="{WIDTH}" role="img">'
    return "\n".join([head, f"<title>{escape(names)}</title>", f"<style>{_STYLE}</style>", *body, "</svg>", ""])


def _panel(panel: Panel, y: int, body: list[str]) -> int:
    """Append the panel's elements; return where the next one begins."""
    body.append(f'<text class="title" x="12" y="{y + 16}">{escape(panel.title)}</text>')
    y += 28
    most = max((bar.high for bar in panel.bars if math.isfinite(bar.high)), default=0) or 1
    scale = (WIDTH - LABEL - VALUE) / most
    for bar in panel.bars:
        width = max(bar.value * scale, 1)
        middle = y + ROW // 2
        kind = "ours" if bar.ours else "bar"
        body.append(f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>')
        top = middle - BAR // 2
        body.append(f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        if bar.high > bar.low:
            left, right = LABEL + bar.low * scale, LABEL + bar.high * scale
            body.append(f'<path class="range" d="M{left:.1f} {middle}H{right:.1f}"/>')
        end = LABEL + max(width, bar.high * scale) + 8
        body.append(f'<text x="{end:.1f}" y="{middle + 4}">{figure(bar.value)} {escape(panel.unit)}</text>')
        y += ROW
    return y + 14


def figure(value: float) -> str:
    """Return ``value`` with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

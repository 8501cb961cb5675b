"""Numbers: percentiles of exact samples, medians of repeats. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest of the ``ordered`` values that ``percent`` of them do not exceed; NaN for none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Spread:
    """The repeats of one figure."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of ``values``; those that are NaN are left out."""
        known = [value for value in values if not math.isnan(value)]
        if not known:
            return cls(math.nan, math.nan, math.nan, 0)
        return cls(statistics.median(known), min(known), max(known), len(known))

    def text(self, decimals: int = 1) -> str:
        """Return ``median (low–high)``, or the median alone when there is one value, or a dash for none."""
        if self.count == 0:
            return "–"
        shown = f"{self.median:,.{decimals}f}"
        if self.count == 1 or self.low == self.high:
            return shown
        return f"{shown} ({self.low:,.{decimals}f}–{self.high:,.{decimals}f})"

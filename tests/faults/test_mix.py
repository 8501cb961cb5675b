"""Whatever the other files break, one thing after the other, in an order that the seed decides. For the long set.

Any module beside this one joins by a list ``FAULTS`` of functions that take the stage alone.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Stage
from tests.faults.record import figures

LASTS_S = float(os.environ.get("FAULTS_MIX_S", "0"))
"""Seconds; without it nothing is mixed."""

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(LASTS_S + 300),
    pytest.mark.skipif(not LASTS_S, reason="the long set plays it: ./test faults"),
]


def faults() -> list[Callable[[Stage], Any]]:
    """Return the faults of all modules here that need nothing but the stage."""
    found: list[Callable[[Stage], Any]] = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = import_module(f"tests.faults.{path.stem}")
        found += [one for one in getattr(module, "FAULTS", []) if len(inspect.signature(one).parameters) == 1]
    return [one for one in found if one.__name__ != "nothing"]


async def test_a_random_mix_loses_and_repeats_nothing(stage: Stage, survives: Callable[..., Any]) -> None:
    chance, played = stage.random, Counter[str]()
    stage.lasts_s = LASTS_S

    async def mix(stage: Stage) -> None:
        until = time.monotonic() + LASTS_S
        while time.monotonic() < until:
            fault = chance.choice(chosen)
            stage.seed = chance.randrange(1_000_000)
            print(f"{fault.__name__} ({stage.seed})", flush=True)
            await fault(stage)
            played[fault.__name__] += 1
            await asyncio.sleep(chance.uniform(0.0, 1.0))
        stage.seed = seed

    seed = stage.seed
    chosen = faults()
    await survives(mix)
    figures(played=dict(played))

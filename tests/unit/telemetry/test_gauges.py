"""What is wrong outside of the database is told also while that does not answer."""

import asyncio
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from broker.core.errors import StoreUnavailable
from broker.telemetry.gauges import Gauges, Watched

NOW = 1_000_000.0
AGE = "callbroker_audit_head_age_seconds"


async def away() -> Any:
    raise StoreUnavailable("The disk is gone.")


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / "heads.jsonl"


def told(registry: CollectorRegistry, gauges: Gauges) -> float | None:
    with pytest.raises(StoreUnavailable):
        asyncio.run(gauges.look())
    return registry.get_sample_value(AGE)


def test_heads_that_are_not_there_are_older_than_any(heads: Path):
    """An insider takes the signed heads away, after which their age would stay what it was."""
    registry = CollectorRegistry()
    nothing: Any = SimpleNamespace(freezes=(), credentials={})
    store: Any = None
    gauges = Gauges(
        registry,
        Watched(status=away, control=lambda: nothing, store=store, heads=heads, clock=lambda: NOW),
    )
    assert told(registry, gauges) == math.inf
    heads.touch()
    os.utime(heads, (NOW - 20.0, NOW - 20.0))
    assert told(registry, gauges) == 20.0
    heads.unlink()
    assert told(registry, gauges) == math.inf

"""Calls while containers, the node and its engine are killed at random leave nothing behind."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.soak_sandboxes import soak
from tests.engine import OwnEngine

RUNS = 100
SEED = 20


async def test_nothing_is_left_after_random_kills() -> None:
    with OwnEngine() as engine, TemporaryDirectory(prefix="cb-") as made:
        report = await soak(engine, Path(made) / "state", runs=RUNS, seed=SEED)

    assert report.left == []
    assert report.endings["ANSWERED"] > 0
    assert {"container killed", "sandboxd killed"} <= set(report.blows), report.blows

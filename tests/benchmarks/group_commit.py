"""What it brings that units which wait share a commit: the same store, in groups and one by one."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.unit import Unit
from broker.store import SqlStore
from tests.benchmarks.reckoning import Row, interval, medians
from tests.stores import NOW, temporary_store

PAIRS = 8
TURN_S = 0.75
IN_FLIGHT = 64
RECORD = {"question": "x" * 2_000}
_NUMBERS = itertools.count()


async def measure(directory: Path, *, share: float) -> list[Row]:
    """Units a second with so many in flight, and what one alone takes."""
    home = directory / "group-commit"
    home.mkdir()
    found: list[Mapping[str, Sequence[float]]] = []
    most = limits.STORE_GROUP_UNITS_MAX
    async with temporary_store(home) as store:
        for number in range(max(2, round(PAIRS * share))):
            taken: dict[str, list[float]] = {}
            for kind in ("groups", "single") if number % 2 else ("single", "groups"):
                _bound(most if kind == "groups" else 1)
                try:
                    taken[kind] = [await _rate(store)]
                finally:
                    _bound(most)
            found.append(taken)
    ratio, low, high = interval(found, lambda m: m["groups"] / m["single"])
    middle = medians(found)
    return [
        Row(
            what=f"units stored, {IN_FLIGHT} in flight, one fsync each",
            measured=f"{middle['single']:.0f} a second",
            values={"per_second": middle["single"]},
        ),
        Row(
            what=f"units stored, {IN_FLIGHT} in flight, in groups",
            measured=f"{middle['groups']:.0f} a second",
            values={"per_second": middle["groups"]},
        ),
        Row(
            what="  of one fsync each",
            measured=f"{ratio:.1f} x ({low:.1f} to {high:.1f})",
            goal="10 x",
            met=ratio >= 10,
            values={"ratio": ratio, "low": low, "high": high},
        ),
    ]


def _bound(units: int) -> None:
    limits.STORE_GROUP_UNITS_MAX = units  # type: ignore[misc]  # what is measured is this bound


async def _rate(store: SqlStore) -> float:
    begun_s = time.perf_counter()

    async def one() -> int:
        count = 0
        while time.perf_counter() < begun_s + TURN_S:
            await store.commit(_unit())
            count += 1
        return count

    counts = await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return sum(counts) / (time.perf_counter() - begun_s)


def _unit() -> Unit:
    entry = EntryDraft(
        kind=EntryKind.CALL_DECIDED,
        at=NOW,
        actor="broker",
        invocation=f"invocations/{next(_NUMBERS):032}",
        body={"code": "FINE"},
        contents=RECORD,
    )
    return Unit(changes=(), entries=(entry,))

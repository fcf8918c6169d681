"""What is said again and again is counted, and nothing is lost from the count."""

from typing import Any

from broker.core.audit import EntryDraft, EntryKind
from broker.core.errors import StoreUnavailable
from broker.core.unit import Unit
from broker.fairness.coalescing import KINDS_MAX, WINDOW_S, Coalescing


class Paper:
    """Keeps what is committed."""

    def __init__(self) -> None:
        self.entries: list[EntryDraft] = []
        self.away = False

    async def commit(self, unit: Unit) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.entries += unit.entries

    @property
    def counts(self) -> list[Any]:
        return [entry.body["count"] for entry in self.entries]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def draft(**body: str) -> EntryDraft:
    return EntryDraft(kind=EntryKind.REQUEST_REFUSED, at=0.0, actor="", body=body)


def made(*, entries_max: int = 2) -> tuple[Paper, Clock, Coalescing]:
    paper, clock = Paper(), Clock()
    store: Any = paper
    return paper, clock, Coalescing(store=store, clock=clock, entries_max=entries_max)


async def note(coalescing: Coalescing, kind: str = "a", times: int = 1) -> None:
    for _ in range(times):
        await coalescing.note((kind,), draft(kind=kind, field="x"), draft(kind=kind))


async def test_a_count_says_from_when_until_when():
    paper, clock, coalescing = made()
    for _ in range(5):
        await note(coalescing)
        clock.now += 1.0
    await coalescing.flush(everything=True)
    assert paper.counts == [1, 1, 3]
    assert paper.entries[-1].body == {"kind": "a", "count": 3, "first": 1_002.0, "last": 1_004.0}


async def test_all_may_be_only_counted():
    paper, _, coalescing = made(entries_max=0)
    await note(coalescing, times=4)
    assert paper.entries == []
    await coalescing.flush(everything=True)
    assert paper.counts == [4]


async def test_a_store_that_is_away_loses_nothing_of_the_count():
    paper, clock, coalescing = made()
    paper.away = True
    await note(coalescing, times=4)
    await coalescing.flush(everything=True)
    clock.now += WINDOW_S
    await note(coalescing)
    await coalescing.flush(everything=True)
    paper.away = False
    await note(coalescing)
    await coalescing.flush(everything=True)
    assert sum(paper.counts) == 6
    assert paper.entries[-1].body["first"] == 1_000.0


async def test_a_window_that_is_over_is_written_with_the_next():
    paper, clock, coalescing = made()
    await note(coalescing, times=3)
    clock.now += WINDOW_S
    await note(coalescing)
    assert paper.counts == [1, 1, 1, 1]
    await coalescing.flush(everything=True)
    assert len(paper.entries) == 4


async def test_a_clock_that_goes_back_ends_a_window():
    paper, clock, coalescing = made()
    await note(coalescing, times=3)
    clock.now -= 10_000.0
    await coalescing.flush()
    assert paper.counts == [1, 1, 1]


async def test_so_many_kinds_are_told_apart():
    _, _, coalescing = made()
    for number in range(KINDS_MAX):
        await note(coalescing, str(number))
    assert coalescing.is_known(("0",))
    assert not coalescing.is_known(("new",))
    await coalescing.flush(everything=True)
    assert coalescing.is_known(("new",))

"""Refusals are written down, a bounded number a minute, and the rest are counted."""

from broker.core.audit import EntryDraft, EntryKind
from broker.core.errors import StoreUnavailable
from broker.core.unit import Unit
from broker.refusals import ENTRIES_PER_WINDOW, KNOCKERS_MAX, WINDOW_S, Refusal, Refusals


class Paper:
    """Keeps what is committed."""

    def __init__(self) -> None:
        self.entries: list[EntryDraft] = []
        self.away = False

    async def commit(self, unit: Unit) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.entries += unit.entries


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refusal(
    knocker: str = "ipv4:127.0.0.1", rpc: str = "broker.v1.HostService/AddWords"
) -> Refusal:
    return Refusal(
        kind=EntryKind.REQUEST_REFUSED, reason="UNAUTHENTICATED", rpc=rpc, knocker=knocker
    )


async def test_a_refusal_is_an_entry_that_says_what_was_asked_for():
    paper = Paper()
    await Refusals(store=paper, clock=Clock()).note(refusal())
    (entry,) = paper.entries
    assert entry.kind is EntryKind.REQUEST_REFUSED
    assert entry.body == {
        "reason": "UNAUTHENTICATED",
        "rpc": "broker.v1.HostService/AddWords",
        "knocker": "ipv4:127.0.0.1",
        "count": 1,
    }


async def test_a_flood_is_a_few_entries_and_one_count():
    paper, clock = Paper(), Clock()
    refusals = Refusals(store=paper, clock=clock)
    for _ in range(10_000):
        await refusals.note(refusal())
    assert len(paper.entries) == ENTRIES_PER_WINDOW
    clock.now += WINDOW_S
    await refusals.note(refusal())
    counts = [entry.body["count"] for entry in paper.entries]
    assert sum(counts) == 10_001
    assert len(counts) == ENTRIES_PER_WINDOW + 2


async def test_what_was_only_counted_is_written_when_its_minute_is_over_or_at_the_end():
    paper, clock = Paper(), Clock()
    refusals = Refusals(store=paper, clock=clock)
    for _ in range(ENTRIES_PER_WINDOW + 5):
        await refusals.note(refusal())
    await refusals.flush()
    assert len(paper.entries) == ENTRIES_PER_WINDOW
    await refusals.flush(everything=True)
    assert paper.entries[-1].body["count"] == 5
    assert "rpc" not in paper.entries[-1].body
    await refusals.flush(everything=True)
    assert len(paper.entries) == ENTRIES_PER_WINDOW + 1


async def test_one_knocker_cannot_hide_another():
    paper = Paper()
    refusals = Refusals(store=paper, clock=Clock())
    for _ in range(1_000):
        await refusals.note(refusal("ipv4:192.0.2.1"))
    await refusals.note(refusal("ipv4:192.0.2.2"))
    assert paper.entries[-1].body["knocker"] == "ipv4:192.0.2.2"


async def test_a_thousand_addresses_share_what_is_left():
    paper, clock = Paper(), Clock()
    refusals = Refusals(store=paper, clock=clock)
    for number in range(5_000):
        await refusals.note(refusal(f"ipv6:[2001:db8::{number:x}]"))
    assert len(paper.entries) == KNOCKERS_MAX + ENTRIES_PER_WINDOW
    await refusals.flush(everything=True)
    assert sum(entry.body["count"] for entry in paper.entries) == 5_000
    assert paper.entries[-1].body["knocker"] == "others"


async def test_a_store_that_is_away_does_not_turn_a_refusal_into_something_else():
    paper = Paper()
    paper.away = True
    await Refusals(store=paper, clock=Clock()).note(refusal())
    assert paper.entries == []

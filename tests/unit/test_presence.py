"""Who is gone is told by counting looks, and nobody too early."""

from collections.abc import Sequence
from dataclasses import replace

from structlog.testing import capture_logs

from broker.core.brokers import BeatBroker, BrokerRow, DropBroker
from broker.core.errors import StoreUnavailable
from broker.core.unit import Unit
from broker.presence import FORGOTTEN_MISSED, MISSED_MAX, Presence


class Rows:
    """The rows of brokers, in memory."""

    def __init__(self, *, is_shared: bool = True) -> None:
        self.is_shared = is_shared
        self.rows: dict[str, BrokerRow] = {}
        self.is_away = False

    async def brokers(self) -> Sequence[BrokerRow]:
        return tuple(self.rows.values())

    async def commit(self, unit: Unit) -> None:
        if self.is_away:
            raise StoreUnavailable("It is away.")
        for change in unit.changes:
            match change:
                case BeatBroker(broker=row):
                    self.rows[row.name] = row
                case DropBroker(name=name):
                    self.rows.pop(name, None)


def presence(rows: Rows, number: int, former: frozenset[str] = frozenset()) -> Presence:
    me = BrokerRow(
        name=f"brokers/{number}", address="", version="1", started_at=0.0, seen_at=0.0, beats=0
    )
    return Presence(store=rows, me=me, clock=lambda: 7.0, former=former)


def names(watching: Presence) -> list[str]:
    return [row.name for row in watching.live]


async def test_brokers_find_each_other_and_say_where_they_are() -> None:
    rows = Rows()
    one, two = presence(rows, 1), presence(rows, 2)
    told: list[list[str]] = []
    one.changed = lambda live: told.append([row.address for row in live])
    await one.join("a:1")
    await two.join()
    await one.look()
    await two.join("b:2")
    await one.look()
    await one.look()
    assert told == [["a:1"], ["a:1", ""], ["a:1", "b:2"]]
    assert (one.is_eldest, two.is_eldest) == (True, False)
    await one.leave()
    assert list(rows.rows) == ["brokers/2"]


async def test_a_broker_that_says_nothing_new_for_long_is_gone_and_may_come_back() -> None:
    rows = Rows()
    one, two = presence(rows, 1), presence(rows, 2)
    await two.join()
    await one.join()
    for _ in range(MISSED_MAX - 1):
        await one.look()
        assert not one.is_gone("brokers/2")
    await one.look()
    assert one.is_gone("brokers/2")
    assert names(one) == ["brokers/1"]
    await two.beat()
    await one.look()
    assert not one.is_gone("brokers/2")
    assert names(one) == ["brokers/1", "brokers/2"]


async def test_an_operator_is_told_who_is_lost_and_of_nobody_who_has_left() -> None:
    """Calls of one that is lost end as UNKNOWN at others, whose logs must say why."""
    rows = Rows()
    one, lost, leaves = presence(rows, 1), presence(rows, 2), presence(rows, 3)
    for each in (lost, leaves, one):
        await each.join()
    await leaves.leave()
    with capture_logs() as told:
        for _ in range(2 * MISSED_MAX):
            await one.look()
        await lost.beat()
        await one.look()
        await one.look()
    assert [(entry["event"], entry["broker"]) for entry in told] == [
        ("broker_gone", "brokers/2"),
        ("broker_back", "brokers/2"),
    ]


async def test_one_that_was_never_heard_of_is_watched_before_it_is_gone() -> None:
    """A broker starts and takes a call between two looks of another one."""
    one = presence(Rows(), 1)
    await one.join()
    assert not one.is_gone("brokers/new")
    for _ in range(MISSED_MAX):
        assert not one.is_gone("brokers/new")
        await one.look()
    assert one.is_gone("brokers/new")


async def test_a_clock_that_jumps_makes_nobody_gone() -> None:
    """Set the machine's clock a year ahead: no count has moved for that."""
    rows = Rows()
    one, two = presence(rows, 1), presence(rows, 2)
    await two.join()
    await one.join()
    rows.rows["brokers/2"] = replace(rows.rows["brokers/2"], seen_at=-1e9)
    await one.look()
    assert not one.is_gone("brokers/2")


async def test_nobody_takes_itself_for_gone() -> None:
    rows = Rows(is_shared=False)
    one = presence(rows, 1)
    await one.join()
    assert not one.is_gone("brokers/1")
    assert one.is_gone("brokers/0")  # a file serves one broker at a time


async def test_whoever_had_the_state_directory_before_is_gone_at_once() -> None:
    rows = Rows()
    await presence(rows, 1).join()
    two = presence(rows, 2, frozenset({"brokers/1"}))
    await two.join()
    assert two.is_gone("brokers/1")
    assert names(two) == ["brokers/2"]
    assert list(rows.rows) == ["brokers/2"]
    assert two.is_eldest


async def test_a_row_that_nobody_writes_any_more_is_removed_in_the_end() -> None:
    rows = Rows()
    await presence(rows, 1).join()
    two = presence(rows, 2)
    await two.join()
    for _ in range(FORGOTTEN_MISSED):
        await two.look()
    assert list(rows.rows) == ["brokers/2"]


async def test_leaving_while_the_database_is_away_is_no_error() -> None:
    rows = Rows()
    one = presence(rows, 1)
    await one.join()
    rows.is_away = True
    await one.leave()
    assert list(rows.rows) == ["brokers/1"]

"""What a session was refused is kept while it counts, and required where a call is recorded."""

import pytest

from broker.core.standing import (
    AddRejection,
    CountDenial,
    Marks,
    Rejection,
    RequireStanding,
    Standing,
    StandingAsked,
)
from broker.core.unit import Change, Conflict, ConflictOn, Unit
from broker.store import SqlStore
from tests.store_values import NOW

REACHED: tuple[Marks, ...] = ((("a", "b"), ("c",)), ((),))


def asked(session: str = "sessions/1", tool: str = "pay", **given: object) -> StandingAsked:
    return StandingAsked(session=session, tool=tool, **{"since": NOW - 60.0, **given})


async def write(store: SqlStore, *changes: Change) -> None:
    await store.commit(Unit(changes=changes, entries=()))


def denial(number: int, *, session: str = "sessions/1", at: float = NOW) -> CountDenial:
    name = f"invocations/{number}"
    return CountDenial(session=session, invocation=name, at=at, kept_max=3)


def rejection(number: int, *, session: str = "sessions/1", tool: str = "pay") -> AddRejection:
    name = f"invocations/{number}"
    return AddRejection(session=session, tool=tool, invocation=name, reached=REACHED, at=NOW)


async def standing(store: SqlStore, of: StandingAsked) -> Standing:
    return (await store.seen(of.session, (), now=NOW, standing=of)).standing


async def test_who_was_never_refused_stands_well(store: SqlStore):
    assert await standing(store, asked()) == Standing()
    assert (await store.seen("sessions/1", (), now=NOW)).standing == Standing()


async def test_denials_count_in_their_session_and_window(store: SqlStore):
    await write(store, denial(1, at=NOW - 61.0), denial(2), denial(3, session="sessions/2"))
    assert (await standing(store, asked())).denials == 1
    assert (await standing(store, asked(since=NOW - 100.0))).denials == 2
    assert (await standing(store, asked(tool="other"))).denials == 1


async def test_only_the_newest_denials_are_kept(store: SqlStore):
    for number in range(9):
        await write(store, denial(number, at=NOW + number))
    await write(store, denial(99, session="sessions/2"))
    assert (await standing(store, asked(since=0.0))).denials == 3
    assert (await standing(store, asked(since=NOW + 6.5))).denials == 2
    assert (await standing(store, asked("sessions/2"))).denials == 1


async def test_a_rejection_is_read_back_for_its_session_and_tool(store: SqlStore):
    await write(store, rejection(1), rejection(2, tool="mail"), rejection(3, session="sessions/2"))
    kept = Rejection(invocation="invocations/1", reached=REACHED)
    assert (await standing(store, asked())).rejections == (kept,)
    assert (await standing(store, asked(tool="none"))).rejections == ()


async def test_what_was_rejected_before_a_session_went_on_counts_in_it(store: SqlStore):
    await write(store, rejection(1))
    child = asked("sessions/2", elders=("sessions/0", "sessions/1"))
    assert len((await standing(store, child)).rejections) == 1
    assert (await standing(store, asked("sessions/2"))).rejections == ()


@pytest.mark.parametrize(
    ("rejections", "denials_below"), [(0, 5), (2, 5), (1, 2), (1, 1), (0, None)]
)
async def test_what_was_seen_is_required(
    store: SqlStore, rejections: int, denials_below: int | None
):
    await write(store, rejection(1), denial(1), denial(2))
    required = RequireStanding(asked=asked(), rejections=rejections, denials_below=denials_below)
    with pytest.raises(Conflict) as refused:
        await write(store, denial(3), required)
    assert refused.value.on is ConflictOn.STANDING
    assert (await standing(store, asked())).denials == 2


@pytest.mark.parametrize("denials_below", [3, None])
async def test_what_still_stands_so_is_written(store: SqlStore, denials_below: int | None):
    await write(store, rejection(1), denial(1), denial(2))
    required = RequireStanding(asked=asked(), rejections=1, denials_below=denials_below)
    await write(store, required, denial(3))
    assert (await standing(store, asked())).denials == 3


async def test_a_unit_that_is_undone_counts_nothing(store: SqlStore):
    required = RequireStanding(asked=asked(), rejections=9, denials_below=None)
    with pytest.raises(Conflict):
        await write(store, denial(1), rejection(1), required)
    assert await standing(store, asked()) == Standing()

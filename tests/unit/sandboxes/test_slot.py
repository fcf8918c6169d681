"""A container's life: what is in the table may happen, and nothing else."""

import asyncio
import itertools

import pytest

from sandboxes.profiles import shipped
from sandboxes.slot import LIFE_CYCLE, Event, IllegalEvent, NotReady, Slot, SlotOrder, State
from tests.fakes.engine import DIGEST, FakeContainer, FakeEngine, Program, echo

ENDS = {State.GONE}
USED = {State.ASKED, State.ENDING, State.QUARANTINED, State.GONE}


def made(program: Program = echo) -> tuple[Slot, FakeEngine]:
    engine = FakeEngine({DIGEST: program})
    order = SlotOrder(
        name="n",
        image=DIGEST,
        profile=shipped()["strict"],
        uid=700_000,
        seccomp="{}",
        labels={},
    )
    return Slot(engine, order, started_at_s=0.0), engine


@pytest.mark.parametrize(
    ("state", "event"),
    [pair for pair in itertools.product(State, Event) if pair not in LIFE_CYCLE],
)
async def test_an_event_that_is_not_in_the_table_changes_nothing(
    state: State, event: Event
) -> None:
    slot, _ = made()
    slot.state = state

    with pytest.raises(IllegalEvent):
        slot.happen(event)

    assert slot.state is state


def test_nothing_leads_back_from_a_container_that_was_asked() -> None:
    reached, before = {State.ASKED}, set[State]()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in LIFE_CYCLE.items() if state in reached}

    assert reached == USED


def test_every_state_ends() -> None:
    can_end = set(ENDS)
    for _ in State:
        can_end |= {state for (state, _), after in LIFE_CYCLE.items() if after in can_end}

    assert can_end == set(State)


async def test_it_waits_once_its_program_is_ready() -> None:
    slot, engine = made()
    await slot.start()

    assert slot.state is State.READY
    assert slot.usable()
    assert engine.calls == ["create", "attach", "start"]
    slot.hang_up()


async def test_it_is_not_usable_once_its_program_has_said_something() -> None:
    async def talks(container: FakeContainer) -> None:
        await echo(container)

    slot, engine = made(talks)
    await slot.start()
    engine.made[0].stream.say(b"early")

    assert not slot.usable()
    await asyncio.wait_for(slot.outcome, 5)
    assert not slot.usable()
    slot.hang_up()


async def test_a_program_that_ends_before_it_is_ready_is_told_with_its_exit_code() -> None:
    async def dies(container: FakeContainer) -> None:
        container.exit(9)

    slot, _ = made(dies)

    with pytest.raises(NotReady, match="exit code 9"):
        await slot.start()
    slot.hang_up()


async def test_each_claim_is_another_run() -> None:
    slot, _ = made()
    await slot.start()
    runs = []
    for _ in range(3):
        slot.claim(at_s=0.0)
        runs.append(slot.run)
        slot.happen(Event.GIVE_BACK)

    assert runs == ["n.1", "n.2", "n.3"]
    slot.hang_up()

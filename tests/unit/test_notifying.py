"""Who is told of what, in which order, and what becomes of what could not be told."""

import asyncio
import contextlib
import dataclasses

import pytest

from broker.core.errors import StoreUnavailable
from broker.core.notices import ATTEMPTS_MAX, DIGEST_EVENT, MoveNotices, NoticeEvent
from broker.core.unit import MoveHold, Unit
from broker.notifying import KEPT_FOR_S, Notifying
from broker.ports.notifying import NotDelivered
from tests.fakes.decision_point import allow, hold, opinion
from tests.fakes.messenger import ORIGIN, FakeMessenger, teller
from tests.world import World, reviewer, world

LEAD = reviewer("lead", "reviewers")
AWAY = NotDelivered("it cannot be reached")


async def waiting(w: World, **refund):
    w.policy.answer = opinion(hold("LARGE"))
    held = await w.refund(await w.caller(), **refund)
    found = await w.store.find_hold(held.hold)
    return found[0]


async def test_a_hold_is_told_once_by_tool_code_age_and_link(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out)
        held = await waiting(w)
        w.clock.advance(3)
        await one.turn()
        await one.turn()
        (message,) = out.sent
        (told,) = message.waiting
        assert message.event == "hold.opened"
        assert (told.tool, told.codes, told.age_s) == ("refund", ("LARGE",), 3)
        assert told.link == f"{ORIGIN}/{held.name}"


async def test_what_a_crash_left_untold_is_told_after_it(tmp_path):
    async with world(tmp_path) as w:
        held = await waiting(w)
        w.clock.advance(3_000)
        out = FakeMessenger()
        await teller(w, out).turn()
        assert [m.waiting[0].hold for m in out.sent] == [held.name]


async def test_what_was_taken_in_but_not_recorded_comes_again_under_the_same_id(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        await waiting(w)
        crashing = dataclasses.replace(teller(w, out), store=Crashing(w.store))
        with pytest.raises(StoreUnavailable):
            await crashing.turn()
        await teller(w, out).turn()
        assert len(out.sent) == 2
        assert len({message.id for message in out.sent}) == 1


async def test_what_was_decided_meanwhile_is_told_to_nobody(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger(refusing=AWAY)
        one = teller(w, out)
        held = await waiting(w)
        await one.turn()
        await w.reviews.reject(LEAD, held.name, etag=held.etag, reason="no")
        out.refusing = None
        w.clock.advance(60)
        await one.turn()
        assert out.sent == []
        assert (await one.view()).tally.due == 0


async def test_what_is_approved_and_taken_back_is_told(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, FakeMessenger(refusing=AWAY))
        held = await waiting(w)
        await one.turn()
        approved = await w.reviews.approve(LEAD, held.name, etag=held.etag, take_back_s=50)
        again = teller(w, out)
        w.clock.advance(20)
        await again.turn()
        assert out.sent == []
        await w.reviews.take_back(LEAD, held.name, etag=approved.hold.etag)
        await again.turn()
        assert [m.waiting[0].hold for m in out.sent] == [held.name]


async def test_half_way_to_its_end_a_hold_is_told_of_once_more(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out)
        held = await waiting(w)
        await one.turn()
        w.clock.advance((held.decide_by - held.created_at) / 2 - 1)
        await one.turn()
        assert [m.event for m in out.sent] == ["hold.opened"]
        w.clock.advance(1)
        await one.turn()
        await one.turn()
        assert [m.event for m in out.sent] == ["hold.opened", "hold.reminder"]


async def test_a_broker_that_comes_back_after_half_of_the_time_tells_once(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        held = await waiting(w)
        w.clock.advance((held.decide_by - held.created_at) / 2 + 1)
        one = teller(w, out)
        await one.turn()
        await one.turn()
        assert [m.event for m in out.sent] == ["hold.opened"]


async def test_only_holds_that_its_groups_may_decide_on(tmp_path):
    async with world(tmp_path) as w:
        theirs, others = FakeMessenger(), FakeMessenger()
        await waiting(w)
        await teller(w, theirs, name="theirs", groups=("reviewers",)).turn()
        await teller(w, others, name="others", groups=("treasury",)).turn()
        assert len(theirs.sent) == 1
        assert others.sent == []


async def test_many_at_once_are_one_message_with_the_first_of_them(tmp_path):
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        caller = await w.caller()
        for _ in range(23):
            await w.refund(caller)
        out = FakeMessenger()
        await teller(w, out).turn()
        (message,) = out.sent
        assert message.event == DIGEST_EVENT
        assert (message.count, len(message.waiting)) == (23, 20)
        assert message.link == f"{ORIGIN}/"


async def test_what_comes_between_two_mails_goes_with_the_next(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out, kind="mail", together_above=0, interval_s=60)
        await waiting(w)
        await one.turn()
        await waiting(w)
        await waiting(w)
        w.clock.advance(59)
        await one.turn()
        assert [m.count for m in out.sent] == [1]
        w.clock.advance(1)
        await one.turn()
        assert [m.count for m in out.sent] == [1, 2]


async def test_a_channel_that_fails_pauses_longer_each_time(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger(refusing=AWAY)
        one = teller(w, out)
        await waiting(w)
        pauses = [await one.turn() for _ in range(1)]
        for _ in range(3):
            w.clock.advance(pauses[-1])
            pauses.append(await one.turn())
        assert [round(p) for p in pauses] == [1, 2, 4, 8]
        assert len(out.tried) == 4
        await one.turn()
        assert len(out.tried) == 4, "not before its time"
        out.refusing = None
        w.clock.advance(8)
        await one.turn()
        view = await one.view()
        assert (view.problem, view.tally.due, view.tally.sent) == ("", 0, 1)


async def test_what_cannot_be_told_is_given_up_and_is_in_the_log(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger(refusing=NotDelivered("answered 400", is_channel=False))
        one = teller(w, out, events=(NoticeEvent.HOLD_OPENED,))
        held = await waiting(w)
        await w.store.commit(
            _longer(held, decide_by=w.clock() + 10**6),
        )
        for _ in range(ATTEMPTS_MAX + 5):
            await one.turn()
            w.clock.advance(3_600)
        assert len(out.tried) == ATTEMPTS_MAX
        assert (await one.view()).tally.dead == 1
        said = [
            entry
            for entry in await w.store.log_entries(before=None, page_size=50)
            if entry["kind"] == "notices.given_up"
        ]
        assert [entry["body"]["problem"] for entry in said] == ["answered 400"]
        assert said[0]["body"]["notices"] == [{"event": "hold.opened", "about": held.name}]


async def test_the_agents_side_is_told_that_its_call_waits_and_ended(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out, for_agents=True)
        await one.turn()
        held = await waiting(w)
        await one.turn()
        await w.reviews.reject(LEAD, held.name, etag=held.etag, reason="Ask for less.")
        await one.turn()
        await one.turn()
        told = [(m.event, m.state, m.code) for m in out.sent]
        assert told == [
            ("invocation.held", "HELD", "LARGE"),
            ("invocation.ended", "REJECTED", "REJECTED"),
        ]
        assert {m.invocation for m in out.sent} == {held.invocation}


async def test_an_agents_side_hears_of_no_other_agents_calls(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out, for_agents=True, agents=("agents/other",))
        await one.turn()
        await waiting(w)
        await one.turn()
        assert out.tried == []


async def test_an_end_is_not_told_before_the_beginning(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger(refusing=NotDelivered("answered 400", is_channel=False))
        one = teller(w, out, for_agents=True)
        await one.turn()
        held = await waiting(w)
        await one.turn()
        await w.reviews.reject(LEAD, held.name, etag=held.etag, reason="no")
        out.refusing = None
        await one.turn()
        assert out.sent == []
        w.clock.advance(2)
        await one.turn()
        await one.turn()
        assert [m.event for m in out.sent] == ["invocation.held", "invocation.ended"]


async def test_a_call_that_waited_and_ended_while_nobody_looked_is_told_of(tmp_path):
    async with world(tmp_path) as w:
        first = teller(w, FakeMessenger(), for_agents=True)
        await first.turn()
        await waiting(w)
        await first.turn()
        held = await waiting(w)
        await w.reviews.reject(LEAD, held.name, etag=held.etag, reason="no")
        w.clock.advance(500)
        out = FakeMessenger()
        await teller(w, out, for_agents=True).turn()
        ended = [m.invocation for m in out.sent if m.event == "invocation.ended"]
        assert ended == [held.invocation]


async def test_a_call_that_never_waited_is_not_told_of(tmp_path):
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out, for_agents=True)
        await one.turn()
        w.policy.answer = opinion(allow())
        await w.refund(await w.caller())
        await one.turn()
        assert out.tried == []


async def test_rows_of_what_is_over_go_after_a_month(tmp_path):
    async with world(tmp_path) as w:
        one = teller(w, FakeMessenger())
        held = await waiting(w)
        await one.turn()
        await w.reviews.reject(LEAD, held.name, etag=held.etag, reason="no")
        w.clock.advance(KEPT_FOR_S + 61)
        await one.turn()
        assert (await one.view()).tally.sent == 0


async def test_one_channel_that_hangs_keeps_no_other_from_telling(tmp_path):
    class Hanging(FakeMessenger):
        async def send(self, message) -> None:
            del message
            await asyncio.Event().wait()

    async with world(tmp_path) as w:
        out = FakeMessenger()
        both = Notifying([teller(w, Hanging(), name="hangs"), teller(w, out)])
        running = asyncio.create_task(both.run())
        held = await waiting(w)
        async with asyncio.timeout(10):
            while not out.sent:
                await asyncio.sleep(0.02)
        assert out.sent[0].waiting[0].hold == held.name
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(2):
                await running


class Crashing:
    """A store that is away when it should record that something was told."""

    def __init__(self, store):
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def commit(self, unit):
        if any(isinstance(change, MoveNotices) for change in unit.changes):
            raise StoreUnavailable("It is away.")
        await self.store.commit(unit)


def _longer(held, *, decide_by):
    longer = dataclasses.replace(held, decide_by=decide_by, etag=held.etag + 1)
    return Unit(changes=(MoveHold(hold=longer, from_etag=held.etag),), entries=())

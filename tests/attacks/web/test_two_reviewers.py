"""Two people, or two tabs, on one hold at the same moment: exactly one thing comes of it."""

import asyncio
import contextlib

import pytest

from broker.core.calls import InvocationState
from broker.core.decision import HoldTerms
from broker.core.lifecycle import HoldState
from tests.fakes.decision_point import hold as held_by
from tests.fakes.decision_point import opinion
from tests.pages import Site, site
from tests.world import reviewer


@contextlib.asynccontextmanager
async def browsers(s: Site, count: int, *, people: int):
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                await s.signed_in(reviewer(f"lead-{n % people}", "reviewers"))
            )
            for n in range(count)
        ]


def sent(hold, reason: str = "") -> dict[str, str]:
    return {"etag": str(hold.etag), "call_digest": hold.call_digest, "reason": reason}


async def settled(s: Site, hold):
    """The call, once nothing of it is under way."""
    async with asyncio.timeout(10):
        while True:
            call = await s.world.store.find_invocation(hold.invocation)
            if call.state not in {InvocationState.HELD, InvocationState.RUNNING}:
                return call
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("people", [1, 2, 8])
async def test_however_many_approve_at_once_it_runs_once(tmp_path, people):
    """We press Approve together, in eight tabs, so that the money leaves twice."""
    async with site(tmp_path) as s, browsers(s, 8, people=people) as all_of_us:
        hold = await s.waiting(amount_minor=1_000)
        answers = await asyncio.gather(
            *(one.post(f"/{hold.name}/approve", data=sent(hold)) for one in all_of_us)
        )
        assert sorted(one.status_code for one in answers) == [303] + [409] * 7
        assert (await settled(s, hold)).state is InvocationState.SUCCEEDED
        assert s.world.shop.orders["O-1001"]["refunded_minor"] == 7_000
        _, reviews = await s.world.store.find_hold(hold.name)
        assert sum(one.counted for one in reviews) == 1


@pytest.mark.parametrize("turn", range(4))
async def test_of_a_yes_and_a_no_at_once_one_counts(tmp_path, turn):
    """I approve in the very moment in which a colleague rejects."""
    async with site(tmp_path) as s, browsers(s, 2, people=2) as (mine, theirs):
        hold = await s.waiting(amount_minor=1_000)
        acts = [
            mine.post(f"/{hold.name}/approve", data=sent(hold)),
            theirs.post(f"/{hold.name}/reject", data=sent(hold, "No.")),
        ]
        answers = await asyncio.gather(*(acts[::-1] if turn % 2 else acts))
        assert sorted(one.status_code for one in answers) == [303, 409]
        call = await settled(s, hold)
        refunded = s.world.shop.orders["O-1001"]["refunded_minor"]
        assert (call.state, refunded) in {
            (InvocationState.SUCCEEDED, 7_000),
            (InvocationState.REJECTED, 6_000),
        }


async def test_one_person_in_many_tabs_is_no_quorum(tmp_path):
    """Two of us are needed; I am the second one as well, in another tab and under another name."""
    two = HoldTerms(
        reviewers=("reviewers",), approvals_required=2, decide_within_s=600, run_within_s=300
    )
    async with site(tmp_path) as s:
        s.world.policy.answer = opinion(held_by("LARGE", two))
        held = await s.world.refund(await s.world.caller())
        hold, _ = await s.world.store.find_hold(held.hold)
        async with (
            await s.signed_in(reviewer("lead", "reviewers", person="p")) as first,
            await s.signed_in(reviewer("another name", "reviewers", person="p")) as second,
        ):
            for _ in range(3):
                now, _ = await s.world.store.find_hold(hold.name)
                await asyncio.gather(
                    *(one.post(f"/{hold.name}/approve", data=sent(now)) for one in (first, second))
                )
        after, reviews = await s.world.store.find_hold(hold.name)
        assert after.state is HoldState.PENDING
        assert sum(one.counted for one in reviews) == 1


async def test_a_tab_that_is_behind_decides_nothing_and_says_so(tmp_path):
    """I leave a tab open over lunch; meanwhile somebody else has asked for a second reviewer."""
    async with site(tmp_path) as s, browsers(s, 2, people=2) as (mine, theirs):
        hold = await s.waiting()
        asked = await theirs.post(f"/{hold.name}/second", data=sent(hold, "Please look."))
        assert asked.status_code == 303
        for act in ("approve", "reject"):
            late = await mine.post(f"/{hold.name}/{act}", data=sent(hold, "x"))
            assert late.status_code == 409
            assert "has changed since it was shown" in late.text
        now, reviews = await s.world.store.find_hold(hold.name)
        assert (now.state, reviews) == (HoldState.PENDING, ())


async def test_whoever_takes_a_hold_last_does_not_have_it_too(tmp_path):
    """We take one hold at once, and each believes that it is theirs alone."""
    async with site(tmp_path) as s, browsers(s, 6, people=6) as all_of_us:
        hold = await s.waiting()
        answers = await asyncio.gather(*(one.post(f"/{hold.name}/take") for one in all_of_us))
        assert sum(one.status_code == 303 for one in answers) == 1
        taken, _ = await s.world.store.find_hold(hold.name)
        assert taken.etag == hold.etag + 1

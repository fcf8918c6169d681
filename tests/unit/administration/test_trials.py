"""What is tried out has a reason, an end where it loosens, and entries; then it is as before."""

import asyncio
import dataclasses

import pytest

from broker.administration.shadow import ShadowReport
from broker.core.decision import Effect
from broker.core.errors import (
    IllegalTransition,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    PolicyUnavailable,
)
from broker.core.limits import OBSERVATION_LIFE_S_MAX
from broker.core.shadow_rows import bundle_key, shadow_row, tally_bytes, tally_key
from broker.core.shadowing import Shadow, Tally
from broker.core.unit import AddDocument, PutShadowTally, Unit
from broker.ports import PolicyOrder
from tests.offices import administration
from tests.unit.administration.office import OPERATOR, Office, agent_order

HARSHER = {(Effect.ALLOW, Effect.DENY): 2}


async def observed(office: Office, *, days: float = 7, **given: str):
    fields = {"family": "a", "agent": "", "reason": "it is new", **given}
    expires_at = office.clock() + days * 86_400
    return await office.admin.observing.create(OPERATOR, expires_at=expires_at, **fields)


@pytest.fixture
async def ruled(office: Office) -> Office:
    """An office in which a policy of the families `a` and `b` decides."""
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1", "b/x": b"1"})
    await office.admin.credentials.create(OPERATOR, agent_order())
    return office


async def test_observing_is_in_force_at_once_and_in_the_log(ruled: Office):
    one = await observed(ruled, agent="agents/a")
    assert ruled.admin.observing.in_force() == (one,)
    assert ruled.room.current().observations == (one,)
    status = await ruled.admin.overview.status()
    assert status.observations == (one,)
    (entry,) = [e for e in await ruled.said() if e.get("kind") == "observation.created"]
    assert entry["actor"] == OPERATOR.subject
    told = entry["body"]
    assert (told["family"], told["agent"], told["reason"]) == ("a", "agents/a", "it is new")
    assert told["expires_at"] == one.expires_at


async def test_observing_needs_a_reason_an_end_and_things_that_there_are(ruled: Office):
    for wrong in ({"reason": " "}, {"family": "c"}, {"family": ""}, {"agent": "agents/x"}):
        with pytest.raises(MalformedRequest):
            await observed(ruled, **wrong)
    for days in (0.0, -1.0, OBSERVATION_LIFE_S_MAX / 86_400 + 0.01, 10.0**9):
        with pytest.raises(MalformedRequest):
            await observed(ruled, days=days)
    with pytest.raises(LimitExceeded):
        await observed(ruled, reason="x" * 10_000)
    assert ruled.admin.observing.in_force() == ()
    assert await observed(ruled, days=OBSERVATION_LIFE_S_MAX / 86_400)


async def test_one_family_is_observed_once_for_one_agent(ruled: Office):
    first = await observed(ruled)
    with pytest.raises(IllegalTransition):
        await observed(ruled)
    await observed(ruled, agent="agents/a")
    await ruled.admin.observing.delete(OPERATOR, first.name)
    await observed(ruled)
    kinds = await ruled.kinds()
    assert kinds.count("observation.created") == 3
    assert kinds.count("observation.deleted") == 1


async def test_observing_ends_by_itself_and_what_is_over_is_cleared_away(ruled: Office):
    await observed(ruled, days=1)
    ruled.clock.advance(86_400)
    assert ruled.admin.observing.in_force() == ()
    again = await observed(ruled, days=1)
    assert ruled.room.current().observations == (again,)


async def test_what_is_not_observed_cannot_be_ended(ruled: Office):
    with pytest.raises(NotFound):
        await ruled.admin.observing.delete(OPERATOR, "observations/none")


async def shadow_on(office: Office, content: bytes = b"2"):
    files = {"a/x": content, "b/x": b"1"}
    return await office.admin.shadow.start(OPERATOR, files, reason="to come")


async def ended(office: Office, revision: str) -> None:
    async with asyncio.timeout(5):
        while ("end", revision) not in office.policies.events:
            await asyncio.sleep(0.01)


def kept_under(report: ShadowReport) -> str:
    return tally_key(report.shadow.name, report.beside)


async def test_a_shadow_answers_before_it_is_asked_and_decides_nothing(ruled: Office):
    before = ruled.room.current().policy_revision
    report = await shadow_on(ruled)
    assert report.is_ready
    assert report.tally == Tally()
    assert ruled.room.current().policy_revision == before
    assert ruled.room.current().shadow == report.shadow
    assert ruled.policies.at(before)
    assert [p.revision for p in await ruled.admin.policies.kept()] == [before]
    with pytest.raises(NotFound):
        await ruled.admin.policies.rollback(OPERATOR, report.shadow.revision, reason="sneaky")
    (entry,) = [e for e in await ruled.said() if e.get("kind") == "shadow.started"]
    assert entry["body"]["revision"] == report.shadow.revision
    assert (entry["body"]["beside"], entry["body"]["reason"]) == (before, "to come")
    status = await ruled.admin.overview.status()
    assert status.shadow == report


async def test_there_is_one_shadow_and_it_is_another_policy(ruled: Office):
    with pytest.raises(IllegalTransition):
        await shadow_on(ruled, b"1")
    with pytest.raises(MalformedRequest, match="broken"):
        await shadow_on(ruled, b"broken")
    with pytest.raises(MalformedRequest, match="b: vanished"):
        await ruled.admin.shadow.start(OPERATOR, {"a/x": b"2"})
    ruled.policies.is_dead = True
    with pytest.raises(PolicyUnavailable):
        await shadow_on(ruled)
    assert ruled.room.current().shadow is None
    ruled.policies.is_dead = False
    await shadow_on(ruled)
    with pytest.raises(IllegalTransition):
        await shadow_on(ruled, b"3")
    await ruled.admin.shadow.stop(OPERATOR)
    with pytest.raises(IllegalTransition):
        await ruled.admin.shadow.stop(OPERATOR)


async def test_turning_it_off_tells_what_was_seen_and_ends_it(ruled: Office):
    report = await shadow_on(ruled)
    other = Tally(decisions=5, differences=HARSHER, dropped=1)
    change = PutShadowTally(shadow=kept_under(report), broker="brokers/2", body=tally_bytes(other))
    await ruled.store.commit(Unit(changes=(change,), entries=()))
    last = await ruled.admin.shadow.stop(OPERATOR, reason="seen enough")
    assert (last.tally.decisions, dict(last.tally.differences)) == (5, HARSHER)
    assert ruled.room.current().shadow is None
    assert await ruled.admin.shadow.report() is None
    (entry,) = [e for e in await ruled.said() if e.get("kind") == "shadow.stopped"]
    assert entry["body"]["differences"] == {"ALLOW to DENY": 2}
    assert (entry["body"]["decisions"], entry["body"]["dropped"]) == (5, 1)
    await ended(ruled, report.shadow.revision)


async def test_a_new_shadow_begins_with_nothing_seen(ruled: Office):
    first = await shadow_on(ruled)
    change = PutShadowTally(
        shadow=kept_under(first), broker="brokers/2", body=tally_bytes(Tally(decisions=5))
    )
    await ruled.store.commit(Unit(changes=(change,), entries=()))
    await ruled.admin.shadow.stop(OPERATOR)
    again = await shadow_on(ruled)
    assert again.shadow.name != first.shadow.name
    assert again.tally == Tally()
    assert await ruled.store.shadow_tallies(kept_under(first)) == {}


async def test_beside_another_policy_in_force_a_shadow_is_counted_anew(ruled: Office):
    report = await shadow_on(ruled)
    seen = tally_bytes(Tally(decisions=5))
    change = PutShadowTally(shadow=kept_under(report), broker="brokers/2", body=seen)
    await ruled.store.commit(Unit(changes=(change,), entries=()))
    other = await ruled.admin.policies.activate(OPERATOR, {"a/x": b"other", "b/x": b"1"})
    now = await ruled.admin.shadow.report()
    assert now is not None
    assert (now.shadow, now.beside, now.tally) == (report.shadow, other.revision, Tally())
    await ruled.admin.policies.rollback(OPERATOR, reason="worse")
    last = await ruled.admin.shadow.stop(OPERATOR)
    assert (last.beside, last.tally.decisions) == (report.beside, 5)
    (entry,) = [e for e in await ruled.said() if e.get("kind") == "shadow.stopped"]
    assert entry["body"]["beside"] == report.beside


async def test_a_shadow_that_comes_into_force_is_kept_like_any_other(ruled: Office):
    report = await shadow_on(ruled)
    bundle = await ruled.admin.policies.activate(OPERATOR, {"a/x": b"2", "b/x": b"1"})
    assert bundle.revision == report.shadow.revision == ruled.room.current().policy_revision
    await ruled.admin.shadow.stop(OPERATOR)
    await ruled.admin.policies.activate(OPERATOR, {"a/x": b"3", "b/x": b"1"})
    back = await ruled.admin.policies.rollback(OPERATOR, bundle.revision, reason="it was good")
    assert ruled.policies.at(back.revision)


async def test_a_policy_that_goes_out_of_force_is_asked_on_as_a_shadow(ruled: Office):
    report = await shadow_on(ruled)
    await ruled.admin.policies.activate(OPERATOR, {"a/x": b"2", "b/x": b"1"})
    await ruled.admin.policies.rollback(OPERATOR, reason="worse")
    await ruled.admin.policies.close()
    assert ruled.policies.at(report.shadow.revision)


async def restarted(office: Office, seen: Tally) -> Office:
    def told(_shadow: Shadow) -> Tally:
        return seen

    admin = administration(
        office.store, office.room, office.policies, clock=office.clock, seen=told
    )
    office.policies.points.clear()
    return dataclasses.replace(office, admin=admin)


async def test_a_restart_brings_it_back_with_what_all_brokers_saw(ruled: Office):
    report = await shadow_on(ruled)
    change = PutShadowTally(
        shadow=kept_under(report), broker="brokers/0", body=tally_bytes(Tally(decisions=5))
    )
    await ruled.store.commit(Unit(changes=(change,), entries=()))
    after = await restarted(ruled, Tally(decisions=2))
    told = await after.admin.shadow.report()
    assert told is not None
    assert not told.is_ready
    assert told.tally.decisions == 7
    await after.admin.shadow.resume()
    again = await after.admin.shadow.report()
    assert again is not None
    assert again.is_ready


async def test_a_shadow_that_cannot_come_back_stops_nothing(ruled: Office):
    report = await shadow_on(ruled)
    after = await restarted(ruled, Tally())
    after.policies.is_dead = True
    await after.admin.shadow.resume()
    told = await after.admin.shadow.report()
    assert told is not None
    assert not told.is_ready
    assert told.shadow == report.shadow


async def test_a_bundle_that_was_exchanged_is_not_asked(ruled: Office):
    report = await shadow_on(ruled)
    other = await ruled.policies.build(
        PolicyOrder(files={"a/x": b"9"}, preset="balanced"), tools=()
    )
    key = bundle_key("sha256:forged")
    forged = dataclasses.replace(report.shadow, revision="sha256:forged")
    document = AddDocument(digest=key, kind="shadow", at=0.0, body=other.to_bytes())
    await ruled.store.commit(Unit(changes=(document, shadow_row(forged)), entries=()))
    await ruled.room.refresh()
    await ruled.admin.shadow.resume()
    told = await ruled.admin.shadow.report()
    assert told is not None
    assert not told.is_ready

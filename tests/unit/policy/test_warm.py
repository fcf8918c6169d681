"""A switch of policy leaves no moment without one, and ends the old one after the new is there."""

import asyncio

import pytest

from broker.core.errors import PolicyUnavailable
from broker.policy.warm import WarmPolicies
from tests.fakes.decision_point import FakeDecisionPoint, allow, deny, opinion


def point(code, *, allowing):
    answer = opinion(allow() if allowing else deny(), revision=f"sha256:{code}")
    return FakeDecisionPoint(answer, revision=f"sha256:{code}")


async def test_both_are_there_until_the_old_one_is_retired():
    policies = WarmPolicies()
    old, new = point("1", allowing=True), point("2", allowing=False)
    await policies.add(old)
    await policies.add(new)
    assert policies.revisions() == ("sha256:1", "sha256:2")
    await policies.retire("sha256:1")
    assert (old.away, new.away) == (True, False)
    assert policies.at("sha256:2") is new
    with pytest.raises(PolicyUnavailable):
        policies.at("sha256:1")


async def test_one_of_the_same_revision_replaces_the_other():
    policies = WarmPolicies()
    old, new = point("1", allowing=True), point("1", allowing=True)
    await policies.add(old)
    await policies.add(new)
    assert policies.at("sha256:1") is new
    assert (old.away, new.away) == (True, False)


async def test_retiring_what_is_not_there_changes_nothing():
    policies = WarmPolicies()
    await policies.add(point("1", allowing=True))
    await policies.retire("sha256:2")
    assert policies.revisions() == ("sha256:1",)


async def test_a_question_under_way_during_a_switch_is_answered_by_the_policy_that_was_asked():
    policies = WarmPolicies()
    old = point("1", allowing=True)
    await policies.add(old)
    old.answering.clear()
    asking = asyncio.create_task(policies.at("sha256:1").evaluate({}, deadline_s=5))
    await asyncio.sleep(0)
    await policies.add(point("2", allowing=False))
    old.answering.set()
    assert (await asking).policy_revision == "sha256:1"


async def test_closing_retires_all():
    policies = WarmPolicies()
    points = [point(code, allowing=True) for code in "12"]
    for each in points:
        await policies.add(each)
    await policies.close()
    assert [each.away for each in points] == [True, True]
    assert policies.revisions() == ()

"""A policy that is on its way is waited for, and no other one is asked instead."""

import asyncio

import pytest

from broker.core.errors import PolicyUnavailable
from broker.policy.patient import PatientPolicies
from broker.policy.warm import WarmPolicies
from tests.fakes.decision_point import REVISION, FakeDecisionPoint, allow, opinion


async def test_a_policy_that_comes_in_time_answers() -> None:
    warm = WarmPolicies()
    point = PatientPolicies(warm).at(REVISION)
    assert point.revision == REVISION
    asked = asyncio.ensure_future(point.evaluate({}, deadline_s=5))
    await asyncio.sleep(0)
    assert not asked.done()
    await warm.add(FakeDecisionPoint(opinion(allow())))
    assert (await asked).policy_revision == REVISION


async def test_a_policy_that_does_not_come_cannot_be_asked() -> None:
    warm = WarmPolicies()
    await warm.add(FakeDecisionPoint(opinion(allow())))
    with pytest.raises(PolicyUnavailable):
        await PatientPolicies(warm).at("another").evaluate({}, deadline_s=0.05)


async def test_one_that_is_ready_is_asked_itself() -> None:
    warm, point = WarmPolicies(), FakeDecisionPoint(opinion(allow()))
    await warm.add(point)
    assert PatientPolicies(warm).at(REVISION) is point

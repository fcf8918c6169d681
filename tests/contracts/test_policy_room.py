"""What administration needs of a policy room holds for the fake and for real OPA alike."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from broker.administration.policies import PolicyAdministration
from broker.control_room import ControlRoom
from broker.core.errors import MalformedRequest, PolicyUnavailable
from broker.core.manifest import parse
from broker.core.question_schema import EXAMPLE
from broker.events import Events
from broker.policy.room import OpaRoom
from broker.ports import PolicyOrder, PolicyRefused, PolicyRoom
from tests.fakes.policy_room import FakePolicyRoom
from tests.fakes.policy_trees import opa
from tests.offices import administration, operator
from tests.stores import temporary_store
from tests.world import REFUND, FakeClock

RULE = """\
# METADATA
# title: {family}
# description: A rule of a test.
# schemas:
#   - input: schema.input
#   - input.call.arguments: schema.tools.refund.arguments
package broker.rules.{family}

verdicts contains {{"effect": "ALLOW", "code": "{code}", "message": "Yes."}} if {{
	input.call.arguments.{argument}
}}
"""


@dataclass
class Kit:
    """A room with trees that mean the same to it as to the other.

    Attributes:
        good, better: two trees with one family.
        broken: a tree that does not compile.
        needy: a tree that reads an argument which only the tool `refund` has.
    """

    room: PolicyRoom
    good: Mapping[str, bytes]
    better: Mapping[str, bytes]
    broken: Mapping[str, bytes]
    needy: Mapping[str, bytes]


def rule(code: str, *, argument: str = "order_id") -> Mapping[str, bytes]:
    text = RULE.format(family="money", code=code, argument=argument)
    return {"broker/rules/money/money.rego": text.encode()}


@pytest.fixture(params=["fake", "opa"])
async def kit(request):
    if request.param == "fake":
        yield Kit(
            room=FakePolicyRoom(),
            good={"money/rule": b"1"},
            better={"money/rule": b"2"},
            broken={"money/rule": b"broken"},
            needy={"money/rule": b"needs refund"},
        )
        return
    room = OpaRoom(opa=opa())
    yield Kit(
        room=room,
        good=rule("GOOD"),
        better=rule("BETTER"),
        broken={"broker/rules/money/money.rego": b"package broker.rules.money\n\nverdicts {"},
        needy=rule("NEEDY", argument="amount_minor"),
    )
    await room.close()


def order(files: Mapping[str, bytes]) -> PolicyOrder:
    return PolicyOrder(files=files, preset="balanced")


REFUND_TOOL = parse(REFUND)


async def test_a_bundle_is_read_back_as_it_was_kept(kit):
    bundle = await kit.room.build(order(kit.good), tools=[REFUND_TOOL])
    again = kit.room.read(bundle.to_bytes())
    assert (again.revision, again.families) == (bundle.revision, bundle.families)
    assert "money" in bundle.families
    other = await kit.room.build(order(kit.better), tools=[REFUND_TOOL])
    assert other.revision != bundle.revision


async def test_what_cannot_decide_is_refused_with_findings(kit):
    with pytest.raises(PolicyRefused) as refused:
        await kit.room.build(order(kit.broken), tools=[REFUND_TOOL])
    assert any("money" in finding for finding in refused.value.findings)


async def test_a_bundle_is_checked_again_under_other_tools(kit):
    bundle = await kit.room.build(order(kit.needy), tools=[REFUND_TOOL])
    same = await kit.room.recheck(bundle.to_bytes(), tools=[REFUND_TOOL])
    assert same.revision == bundle.revision
    other = parse({**REFUND, "name": "other"})
    with pytest.raises(PolicyRefused):
        await kit.room.recheck(bundle.to_bytes(), tools=[other])


async def test_a_revision_answers_from_being_prepared_to_being_retired(kit):
    bundle = await kit.room.build(order(kit.good), tools=[REFUND_TOOL])
    with pytest.raises(PolicyUnavailable):
        kit.room.at(bundle.revision)
    await kit.room.prepare(bundle)
    await kit.room.prepare(bundle)
    opinion = await kit.room.at(bundle.revision).evaluate(EXAMPLE, deadline_s=5.0)
    assert opinion.policy_revision == bundle.revision
    await kit.room.retire(bundle.revision)
    await kit.room.retire(bundle.revision)
    with pytest.raises(PolicyUnavailable):
        kit.room.at(bundle.revision)


async def test_switching_policy_drops_no_question(kit, tmp_path):
    """Questions are asked all the time, each of the revision in force when it began."""
    clock = FakeClock()
    async with temporary_store(tmp_path, clock=clock) as store:
        control = await ControlRoom.open(store=store, events=Events())
        office = administration(store, control, kit.room, clock=clock, drain_s=0.3)
        await office.tools.put(operator(), [_bytes(REFUND)])
        await office.policies.activate(operator(), kit.good)
        stop = asyncio.Event()
        answered: list[tuple[str, str]] = []

        async def ask() -> None:
            while not stop.is_set():
                revision = control.current().policy_revision
                # What a call does between reading control and asking policy.
                await asyncio.sleep(0.01)
                opinion = await kit.room.at(revision).evaluate(EXAMPLE, deadline_s=5.0)
                answered.append((revision, opinion.policy_revision))

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await office.policies.activate(operator(), kit.better)
        await _until_asked(control, answered)
        with pytest.raises(MalformedRequest):
            await office.policies.activate(operator(), kit.broken)
        await office.policies.rollback(operator(), reason="worse")
        await _until_asked(control, answered)
        await _until_drained(office.policies)
        stop.set()
        await asyncio.gather(*asking)
        await office.policies.close()
    assert len({revision for revision, _ in answered}) == 2
    assert all(asked == told for asked, told in answered)


async def _until_asked(control: ControlRoom, answered: list[tuple[str, str]]) -> None:
    revision = control.current().policy_revision
    async with asyncio.timeout(20):
        while (revision, revision) not in answered[-4:]:
            await asyncio.sleep(0.01)


async def _until_drained(policies: PolicyAdministration) -> None:
    async with asyncio.timeout(20):
        while policies._retiring:
            await asyncio.sleep(0.01)


def _bytes(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()

"""Every decision point keeps the port's promises: the fake, a supervised OPA, and one by URL."""

import asyncio
import contextlib
import functools

import pytest

from broker.core.decision import Effect
from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.patches import merge_patch
from broker.policy.opa import Opa
from broker.policy.opa_process import SupervisedOpa
from broker.policy.opinion import denied
from tests.fakes.decision_point import FakeDecisionPoint, allow, deny, hold, opinion
from tests.fakes.policy_trees import bundle_of, family, opa
from tests.remote_opa import remote_opa

RULES = """\
verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "Allowed."} if {
	input.call.tool == "allowed"
}

verdicts contains {"effect": "HOLD", "code": "NEEDS_PERSON", "message": "Held."} if {
	input.call.tool == "held"
}

verdicts contains {"effect": "DENY", "code": "FORBIDDEN", "message": "Denied."} if {
	input.call.tool == "denied"
}

verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "Allowed."} if {
	input.call.tool == "erring"
	net.cidr_contains("10.0.0.0/8", input.call.digest)
}

verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "Allowed."} if {
	input.call.tool == "looping"
	some a in numbers.range(1, 20000)
	some b in numbers.range(1, 20000)
	a * b == -1
}
"""


@functools.cache
def bundle() -> PolicyBundle:
    return bundle_of(family(RULES))


def question(tool):
    return merge_patch(EXAMPLE, {"call": {"tool": tool}})


@contextlib.asynccontextmanager
async def fake():
    revision = bundle().revision

    def answer(asked):
        verdicts = {"allowed": allow(), "held": hold(), "denied": deny()}
        tool = asked["call"]["tool"]
        if tool == "erring":
            return denied("POLICY_ERROR", revision=revision)
        return opinion(verdicts[tool], revision=revision)

    class Fake(FakeDecisionPoint):
        async def evaluate(self, question, *, deadline_s):
            if question["call"]["tool"] == "looping":
                self.answering.clear()
            try:
                return await super().evaluate(question, deadline_s=deadline_s)
            finally:
                self.answering.set()

    yield Fake(answer, revision=revision)


@contextlib.asynccontextmanager
async def supervised():
    point = await SupervisedOpa.start(bundle(), opa=opa())
    try:
        yield point
    finally:
        await point.close()


@contextlib.asynccontextmanager
async def remote(tmp_path):
    async with remote_opa(tmp_path, bundle()) as url:
        point = await Opa.over_url(
            url, token="theirs", revision=bundle().revision, ca_file=tmp_path / "cert.pem"
        )
        try:
            async with asyncio.timeout(30):
                while not await point.is_alive(deadline_s=1):
                    await asyncio.sleep(0.02)
            yield point
        finally:
            await point.close()


@pytest.fixture(params=["fake", "supervised", "remote"])
async def point(request, tmp_path):
    kinds = {"fake": fake, "supervised": supervised, "remote": lambda: remote(tmp_path)}
    async with kinds[request.param]() as made:
        yield made


async def test_it_names_the_bundle_that_answers(point):
    assert point.revision == bundle().revision
    answer = await point.evaluate(question("allowed"), deadline_s=5)
    assert answer.policy_revision == bundle().revision


@pytest.mark.parametrize(
    ("tool", "effect", "code"),
    [
        ("allowed", Effect.ALLOW, "ALLOWED"),
        ("held", Effect.HOLD, "NEEDS_PERSON"),
        ("denied", Effect.DENY, "FORBIDDEN"),
        ("erring", Effect.DENY, "POLICY_ERROR"),
    ],
)
async def test_it_says_what_the_rules_say(point, tool, effect, code):
    (verdict,) = (await point.evaluate(question(tool), deadline_s=5)).verdicts
    assert (verdict.effect, verdict.code, verdict.stage) == (effect, code, "policy")
    assert (verdict.terms is not None) == (effect is Effect.HOLD)


async def test_a_late_answer_is_a_denial_and_the_next_is_in_time(point):
    (late,) = (await point.evaluate(question("looping"), deadline_s=0.3)).verdicts
    assert (late.effect, late.code) == (Effect.DENY, "POLICY_LATE")
    (verdict,) = (await point.evaluate(question("allowed"), deadline_s=5)).verdicts
    assert verdict.effect is Effect.ALLOW


async def test_questions_asked_at_once_each_get_their_own_answer(point):
    tools = ["allowed", "denied", "held"] * 20
    answers = await asyncio.gather(
        *(point.evaluate(question(tool), deadline_s=10) for tool in tools)
    )
    codes = {"allowed": "ALLOWED", "denied": "FORBIDDEN", "held": "NEEDS_PERSON"}
    assert [a.verdicts[0].code for a in answers] == [codes[tool] for tool in tools]


async def test_once_closed_it_decides_nothing(point):
    await point.close()
    await point.close()
    with pytest.raises(PolicyUnavailable):
        await point.evaluate(question("allowed"), deadline_s=5)


async def test_it_answers_until_it_cannot_be_asked(point):
    """An operator is told by this that nothing is allowed any more."""
    assert await point.is_answering()
    await point.evaluate(question("looping"), deadline_s=0.3)  # one that is late is no outage
    assert await point.is_answering()
    await point.close()
    with pytest.raises(PolicyUnavailable):
        await point.evaluate(question("allowed"), deadline_s=5)
    assert not await point.is_answering()

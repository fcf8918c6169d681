"""I have my questions travel with yours, and bring what errs, loops, or looks around.

A question that fails or takes for ever might take its whole group with it, again and again; one
that names the group's own parts might read what its neighbours ask, or answer for them; and one
that errs in company might keep an answer that it would not have had alone.
"""

import asyncio
import json

import pytest

from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.policy.grouping import GROUP_ROOT, GROUP_RULE, Grouping
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import bundle_of, family, opa

RULES = """\
verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."}

verdicts contains {"effect": "DENY", "code": "ERRED", "message": "No."} if {
	input.call.tool == "erring"
	net.cidr_contains("10.0.0.0/8", input.call.arguments.text)
}

verdicts contains {"effect": "DENY", "code": "LOOPED", "message": "No."} if {
	input.call.tool == "looping"
	some a in numbers.range(1, 60000)
	some b in numbers.range(1, 60000)
	a * b == -1
}

verdicts contains {"effect": "DENY", "code": "SAW_OTHERS", "message": "No."} if {
	some at
	walk(input, [at, "the neighbour's secret"])
	input.call.tool == "curious"
}

verdicts contains {"effect": "DENY", "code": "SAW_BATCH", "message": "No."} if {
	"batch" in object.keys(input)
}

obligations contains {"kind": "seen", "arguments": input.call.arguments}
"""


class Engine:
    """One OPA, and what it was asked together."""

    def __init__(self, point):
        self._asks = point._child.opa._asks
        self.revision = point.revision
        self.log = []

    async def one(self, question):
        self.log.append([question])
        return await self._asks.one(question)

    async def many(self, questions):
        self.log.append(list(questions))
        return await self._asks.many(questions)


@pytest.fixture
async def engine():
    point = await SupervisedOpa.start(bundle_of(family(RULES)), opa=opa())
    try:
        yield Engine(point)
    finally:
        await point.close()


def question(tool, text="x", **more):
    patch = {"call": {"tool": tool, "arguments": {"text": text}}, **more}
    return json.dumps(merge_patch(EXAMPLE, patch)).encode()


def asked(group, *questions, key=("tool", "agents/honest"), deadline_s=30.0):
    return [
        asyncio.ensure_future(group.ask(one, key=key, deadline_s=deadline_s)) for one in questions
    ]


def codes(opinion):
    return sorted(verdict.code for verdict in opinion.verdicts)


async def test_a_question_sees_nothing_of_the_group_that_it_is_in(engine):
    group = Grouping(asks=engine, revision=engine.revision, places=1, deadline_s=30)
    secret = question("honest", "the neighbour's secret")
    curious = [question("curious", text) for text in ("input.batch", "batch", '"}}},{"call":{')]
    found = await asyncio.gather(*asked(group, secret, secret, *curious, secret))
    assert [len(together) for together in engine.log] == [1, 5]
    assert [codes(one) for one in found] == [["FINE"]] * 6
    (seen,) = found[2].obligations
    assert seen.parameters == {"arguments": {"text": "input.batch"}}


async def test_a_question_with_a_batch_of_its_own_brings_nobody_else_an_answer(engine):
    group = Grouping(asks=engine, revision=engine.revision, places=1, deadline_s=30)
    nested = question("curious", batch=[merge_patch(EXAMPLE, {"call": {"tool": "looping"}})])
    fine = question("honest")
    found = await asyncio.gather(*asked(group, fine, fine, nested, fine))
    assert [len(together) for together in engine.log] == [1, 3]
    # It has the answer that it has alone: its own part of that name is its own.
    assert [codes(one) for one in found] == [["FINE"]] * 2 + [["FINE", "SAW_BATCH"]] + [["FINE"]]


async def test_what_errs_denies_itself_and_spoils_one_group_of_others_at_most(engine):
    group = Grouping(asks=engine, revision=engine.revision, places=1, deadline_s=30)
    theirs = ("erring", "agents/mine")
    fine, bad = question("honest"), question("erring")
    for turn in range(3):
        engine.log.clear()
        honest = asked(group, fine, fine)
        erring = asked(group, bad, bad, key=theirs)
        honest += asked(group, fine)
        assert [codes(await one) for one in honest] == [["FINE"]] * 3
        assert [codes(await one) for one in erring] == [["POLICY_ERROR"]] * 2
        spoilt = [together for together in engine.log if len(together) > 1 and bad in together]
        assert len(spoilt) == (1 if turn == 0 else 0)


async def test_what_loops_is_alone_before_it_is_late_and_then_takes_nobodys_place(engine):
    group = Grouping(asks=engine, revision=engine.revision, places=1, deadline_s=0.5)
    theirs = ("looping", "agents/mine")
    fine, endless = question("honest"), question("looping")
    honest = asked(group, fine, fine)
    looping = asked(group, endless, endless, key=theirs)
    honest += asked(group, fine)
    assert [codes(await one) for one in honest] == [["FINE"]] * 3
    async with asyncio.timeout(30):
        while theirs not in group._suspects:
            await asyncio.sleep(0.01)
    for _ in range(3):
        engine.log.clear()
        found = await asyncio.gather(*asked(group, fine, fine, fine))
        assert [codes(one) for one in found] == [["FINE"]] * 3
        assert engine.log == [[fine], [fine, fine]]
    for one in looping:
        assert not one.done()
        one.cancel()
    await asyncio.gather(*looping, return_exceptions=True)


async def test_the_group_itself_is_no_question_that_a_stranger_may_ask_in_another_form(engine):
    """Only the entry point and the group are admitted, and both only strictly."""
    client = engine._asks._client
    for path in (
        f"/v1/data/{GROUP_ROOT}?strict-builtin-errors=true",
        f"/v1/data/{GROUP_ROOT}/{GROUP_RULE}",
        "/v1/query",
        "/v1/data",
    ):
        with pytest.raises(Exception, match="POLICY_ERROR"):
            await client.post(path, b'{"input":{"batch":[]}}')

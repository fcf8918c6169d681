"""A group's answers are those that each question has alone, whatever else is in the group."""

import asyncio
import functools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.policy.grouping import Grouping
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import bundle_of, family, opa

# Each answer says what was asked, so that one that was given to somebody else shows.
RULES = """\
verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "As told."} if {
	input.call.tool == "allowed"
}

verdicts contains {"effect": "HOLD", "code": "NEEDS_PERSON", "message": "As told."} if {
	input.call.tool == "held"
}

verdicts contains {"effect": "DENY", "code": "FORBIDDEN", "message": "As told."} if {
	input.call.tool in {"held", "denied"}
	input.call.arguments.text > "m"
}

verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "As told."} if {
	input.call.tool == "erring"
	net.cidr_contains("10.0.0.0/8", input.call.arguments.text)
}

verdicts contains {"effect": "ALLOW", "code": "ALLOWED", "message": "As told."} if {
	input.call.tool == "slow"
	count([1 | some a in numbers.range(1, 900); some b in numbers.range(1, 900); a == b]) == 900
}

obligations contains {
	"kind": "seen",
	"call": input.call,
	"agent": input.agent.id,
	"whole": [name | some name in object.keys(input)],
}
"""

TOOLS = ("allowed", "held", "denied", "erring", "unspoken")
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "x",
        "10.0.0.1",
        "batch",
        "input.batch[0]",
        '"}]}',
        "\u00e9\u2028\U0001f600",
        "]" * 40,
    ]
)
QUESTIONS = st.lists(st.tuples(st.sampled_from(TOOLS), TEXTS, st.sampled_from("ab")), max_size=40)


def asked(tool, text, agent):
    return merge_patch(
        EXAMPLE,
        {
            "call": {"tool": tool, "arguments": {"text": text}},
            "agent": {"id": f"agents/{agent}"},
        },
    )


class Company:
    """Asks one engine in two ways, and counts the groups."""

    def __init__(self, point):
        self._opa = point._child.opa
        self._alone = {}
        self.sizes = []

    async def one(self, question):
        return await self._opa._asks.one(question)

    async def many(self, questions):
        self.sizes.append(len(questions))
        return await self._opa._asks.many(questions)

    async def alone(self, question):
        if question not in self._alone:
            self._alone[question] = await self.one(question)
        return self._alone[question]

    async def together(self, questions):
        group = Grouping(asks=self, revision=self._opa.revision, places=1, deadline_s=0.2)
        return await asyncio.gather(
            *(
                group.ask(question, key=(tool, agent), deadline_s=60)
                for question, tool, agent in questions
            )
        )


@functools.cache
def bundle():
    return bundle_of(family(RULES))


@pytest.fixture
async def company():
    point = await SupervisedOpa.start(bundle(), opa=opa())
    try:
        yield Company(point)
    finally:
        await point.close()


def _bytes(tool, text, agent):
    return json.dumps(asked(tool, text, agent)).encode()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=QUESTIONS, slow=st.none() | st.integers(0, 40))
async def test_in_company_each_question_has_the_answer_that_it_has_alone(company, drawn, slow):
    if slow is not None and slow % 4 == 0:
        drawn = [*drawn[:slow], ("slow", "x", "a"), *drawn[slow:]]
    questions = [(_bytes(*one), one[0], one[2]) for one in drawn]
    alone = [await company.alone(question) for question, _, _ in questions]
    assert await company.together(questions) == alone
    if len(drawn) > 2:
        assert max(company.sizes) > 1

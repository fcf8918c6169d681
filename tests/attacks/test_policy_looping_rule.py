"""I send arguments over which some rule works for minutes, and then many more of them.

If the broker waits, everybody waits; if it gives up but OPA does not, a handful of my calls keep
every processor busy, and honest calls are denied for being late.
"""

import asyncio

from broker.core.decision import Effect
from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import bundle_of, family, opa
from tests.fakes.processes import processor_ticks

RULES = """\
verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} if not _slow

_slow if {
	some a in numbers.range(1, input.call.arguments.size)
	some b in numbers.range(1, input.call.arguments.size)
	a * b == -1
}
"""


def question(size):
    return merge_patch(EXAMPLE, {"call": {"arguments": {"size": size}}})


async def test_a_rule_that_loops_costs_its_own_call_and_no_more():
    point = await SupervisedOpa.start(bundle_of(family(RULES)), opa=opa())
    try:
        answers = await asyncio.gather(
            *(point.evaluate(question(60_000), deadline_s=0.5) for _ in range(8))
        )
        assert {v.code for answer in answers for v in answer.verdicts} == {"POLICY_LATE"}
        assert {v.effect for answer in answers for v in answer.verdicts} == {Effect.DENY}
        await _becomes_idle(point.process_id)
        (verdict,) = (await point.evaluate(question(1), deadline_s=5)).verdicts
        assert verdict.effect is Effect.ALLOW
    finally:
        await point.close()


async def _becomes_idle(process_id):
    """OPA has stopped working: within ten seconds there is half of one in which it does nothing."""
    async with asyncio.timeout(10):
        while True:
            before = processor_ticks(process_id)
            await asyncio.sleep(0.5)
            if processor_ticks(process_id) - before <= 2:
                return

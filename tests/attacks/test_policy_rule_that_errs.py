"""I send a value on which the rule that would deny me cannot be computed.

A default OPA server calls a failing built-in undefined, so that the rule which needs it does not
fire: my call keeps the ALLOW of another rule and loses the DENY of this one. I need no more than an
argument that is no network address.
"""

import pytest

from broker.core.decision import Effect
from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa

RULES = f"""\
{ALLOW_ALL}

verdicts contains {{"effect": "DENY", "code": "INSIDE", "message": "Inside."}} if {{
	net.cidr_contains("10.0.0.0/8", input.call.arguments.address)
}}
"""


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("192.0.2.1", "FINE"),
        ("10.0.0.1", "INSIDE"),
        ("10.0.0.1 ", "POLICY_ERROR"),
        ("", "POLICY_ERROR"),
        ("nowhere", "POLICY_ERROR"),
    ],
)
async def test_a_rule_that_cannot_be_computed_denies(address, code):
    question = merge_patch(EXAMPLE, {"call": {"arguments": {"address": address}}})
    point = await SupervisedOpa.start(bundle_of(family(RULES)), opa=opa())
    try:
        verdicts = (await point.evaluate(question, deadline_s=5)).verdicts
    finally:
        await point.close()
    strictest = min(verdicts, key=lambda verdict: verdict.effect)
    assert strictest.code == code
    assert (strictest.effect is Effect.ALLOW) == (code == "FINE")


ON_DATA_ALONE = f"""\
{ALLOW_ALL}

verdicts contains {{"effect": "DENY", "code": "INSIDE", "message": "Inside."}} if {{
	input.call.tool == "pay"
	net.cidr_contains("10.0.0.0/8", data.callbroker.preset)
}}
"""


async def test_a_rule_that_cannot_be_computed_from_data_alone_denies_as_well():
    """I wait for somebody to have bundles optimised when they are built, for speed.

    What depends on data alone is computed then, and a rule whose built-in fails there is left out,
    in silence, with the denial that it would have been.
    """
    question = merge_patch(EXAMPLE, {"call": {"tool": "pay"}})
    point = await SupervisedOpa.start(bundle_of(family(ON_DATA_ALONE)), opa=opa())
    try:
        verdicts = (await point.evaluate(question, deadline_s=5)).verdicts
    finally:
        await point.close()
    assert [verdict.code for verdict in verdicts] == ["POLICY_ERROR"]

"""Explaining does not weigh on calls: one at a time, of the policy that is meant, not for long."""

import asyncio

import pytest

from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy.explaining.explainer import OpaExplainer
from broker.ports import PolicyRefused
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa


@pytest.fixture(scope="module")
def bundle():
    return bundle_of(family(ALLOW_ALL))


async def test_a_kept_policy_is_asked(bundle):
    explainer = OpaExplainer(opa=opa())
    told = await explainer.explain(bundle.to_bytes(), EXAMPLE, revision=bundle.revision, money={})
    assert told["policy_revision"] == bundle.revision
    assert "FINE" in {spoken["code"] for spoken in told["spoken"]}


@pytest.mark.parametrize("revision", ["sha256:other", ""])
async def test_what_is_kept_under_another_s_name_is_refused(bundle, revision):
    with pytest.raises(PolicyRefused):
        await OpaExplainer(opa=opa()).explain(
            bundle.to_bytes(), EXAMPLE, revision=revision, money={}
        )


async def test_what_is_no_bundle_is_refused(bundle):
    with pytest.raises(PolicyRefused):
        await OpaExplainer(opa=opa()).explain(b"{}", EXAMPLE, revision=bundle.revision, money={})


async def test_one_that_is_not_done_in_time_is_given_up(bundle):
    explainer = OpaExplainer(opa=opa(), deadline_s=0.001)
    with pytest.raises(PolicyUnavailable):
        await explainer.explain(bundle.to_bytes(), EXAMPLE, revision=bundle.revision, money={})


async def test_two_at_once_are_one_after_the_other(bundle):
    explainer = OpaExplainer(opa=opa())
    kept = bundle.to_bytes()
    both = await asyncio.gather(
        *(explainer.explain(kept, EXAMPLE, revision=bundle.revision, money={}) for _ in range(2))
    )
    assert both[0] == both[1]

"""The page of the shipped families is what they say of themselves, and each says what it is for."""

import functools

from broker.policy.bundle import build
from broker.policy.pages import families_page, read_families
from tests.docs.pages import ROOT
from tests.fakes.policy_trees import opa

PAGE = ROOT / "docs" / "families.md"


@functools.cache
def families():
    return read_families(opa(), build(opa=opa()))


def test_the_page_is_made_of_the_annotations():
    assert PAGE.read_text(encoding="utf-8") == families_page(opa()), (
        "make it anew: python -m broker.policy.pages > docs/families.md"
    )


def test_every_family_says_what_it_is_for_and_what_it_costs():
    silent = [f.name for f in families() if not (f.title and f.description and f.costs)]
    assert silent == []


def test_every_parameter_that_is_said_is_there_and_the_other_way_round():
    for family in families():
        text = "\n".join(
            path.read_text(encoding="utf-8")
            for path in (ROOT / "policies" / "broker" / "rules" / family.name).glob("*.rego")
        )
        read = f"data.parameters.{family.name}" in text
        assert read == bool(family.parameters), family.name

"""Every case that lies beside a family holds on real OPA."""

import functools
from pathlib import Path

import pytest

from broker.policy.bundle import PolicyBundle, build
from broker.policy.cases.judging import differences
from broker.policy.cases.report import report
from broker.policy.cases.running import Outcome, run
from broker.policy.cases.tables import Case, read_cases
from broker.policy.sources import library_directory
from tests.fakes.policy_trees import opa
from tests.policies.trees import TREES, tools_beside


@functools.cache
def bundle(tree: Path | None) -> PolicyBundle:
    return build(opa=opa(), directory=tree, tools=tools_beside(tree))


@functools.cache
def cases(tree: Path | None) -> list[Case]:
    """Those of the tree alone: the shipped families' own are judged with the library."""
    return [
        case
        for case in read_cases(bundle(tree))
        if tree is None or not (library_directory() / case.file).is_file()
    ]


@functools.cache
def outcomes(tree: Path | None) -> list[Outcome]:
    return run(opa(), bundle(tree), cases(tree))[0]


EVERY_CASE = [
    pytest.param(tree, number, id=f"{label}: {case.family}: {case.name}")
    for label, tree in TREES.items()
    for number, case in enumerate(cases(tree))
]


@pytest.mark.parametrize(("tree", "number"), EVERY_CASE)
def test_the_case_holds(tree, number):
    assert differences(cases(tree)[number].expected, outcomes(tree)[number]) == []


@pytest.mark.parametrize("label", TREES)
def test_every_family_has_cases(label):
    tree = TREES[label]
    assert {case.family for case in read_cases(bundle(tree))} == set(bundle(tree).families)


@pytest.mark.parametrize("label", TREES)
def test_every_family_is_silent_on_some_call(label):
    tree = TREES[label]
    silent = {case.family for case in read_cases(bundle(tree)) if not case.expected.codes}
    assert silent == set(bundle(tree).families)


def test_every_line_and_code_of_the_shipped_families_is_proven_by_a_case():
    built = bundle(None)
    found = report(opa(), built, cases(None), families=built.families)
    assert [family.family for family in found.families] == [*built.families]
    for family in found.families:
        assert (family.lines_missed, family.codes_missed) == ((), ()), family.family

"""Every case that lies beside a family holds on real OPA."""

import functools
import json
from pathlib import Path

import jsonschema
import pytest

from broker.core.question_schema import question_schema
from broker.policy.bundle import PolicyBundle, build
from broker.policy.sources import library_directory
from tests.fakes.policy_trees import opa
from tests.policies.case_tables import Case, Outcome, cases_of, run, tables
from tests.policies.trees import TREES, tools_beside

CASES_SCHEMA = json.loads((library_directory() / "schemas" / "cases.json").read_text("utf-8"))


@functools.cache
def bundle(tree: Path | None) -> PolicyBundle:
    return build(opa=opa(), directory=tree, tools=tools_beside(tree))


@functools.cache
def outcomes(tree: Path | None, family: str) -> dict[str, tuple[Case, Outcome]]:
    cases = [case for case in cases_of(bundle(tree)) if case.family == family]
    return {
        case.name: (case, found)
        for case, found in zip(cases, run(bundle(tree), cases), strict=True)
    }


def every_case():
    return [
        pytest.param(tree, case, id=f"{label}: {case.family}: {case.name}")
        for label, tree in TREES.items()
        for case in cases_of(bundle(tree))
        if tree is None or not _is_shipped(case.family)
    ]


def _is_shipped(family: str) -> bool:
    return (library_directory() / "broker" / "rules" / family).is_dir()


@pytest.mark.parametrize(("tree", "case"), every_case())
def test_the_case_holds(tree, case):
    _, found = outcomes(tree, case.family)[case.name]
    expected = case.expected
    assert (found.effect, found.codes) == (expected.get("effect"), sorted(expected["codes"]))
    for terms in found.terms:
        assert expected.get("hold", {}).items() <= terms.items()
    if "obligations" in expected:
        assert sorted(map(json.dumps, found.obligations)) == sorted(
            map(json.dumps, expected["obligations"])
        )


@pytest.mark.parametrize("label", TREES)
def test_every_family_has_cases_of_the_agreed_form(label):
    built = bundle(TREES[label])
    found = tables(built)
    assert {path.split("/")[2] for path in found} == set(built.families)
    for table in found.values():
        jsonschema.validate(table, CASES_SCHEMA)
        names = [case["case"] for case in table["cases"]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("label", TREES)
def test_what_the_file_gives_is_laid_over_a_question(label):
    for table in tables(bundle(TREES[label])).values():
        unknown = table.get("given", {}).keys() - question_schema()["properties"].keys()
        assert not unknown


@pytest.mark.parametrize("label", TREES)
def test_every_family_is_silent_on_some_call(label):
    silent = {c.family for c in cases_of(bundle(TREES[label])) if c.expected["codes"] == []}
    assert silent == set(bundle(TREES[label]).families)

"""Every condition, operator and constant of a shipped rule matters to some case of its family."""

import functools

import pytest

from broker.policy.bundle import PolicyBundle, build
from broker.policy.cases.tables import read_cases
from broker.policy.syntax import declared_effects, name_of, rules, trees
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa
from tests.policies.mutation import Mutant, mutants_by_unit, survivors

# Mutants that mean the same as the rule, and why.
EQUIVALENT: dict[str, str] = {
    "broker/rules/fetching/fetching verdicts: _all_known -> true": (
        "where the condition fails the family holds, and beside a hold an ALLOW changes nothing"
    ),
}


@functools.cache
def library() -> PolicyBundle:
    return build(opa=opa())


@functools.cache
def units() -> dict[str, list[Mutant]]:
    return mutants_by_unit(library())


@pytest.mark.parametrize("unit", units())
def test_every_mutant_is_caught_by_a_case(unit):
    left = survivors(library(), read_cases(library()), units()[unit])
    named = [f"{mutant.line}: {mutant.key}" for mutant in left if mutant.key not in EQUIVALENT]
    assert named == []
    keys = {mutant.key for mutant in left}
    assert {key for key in EQUIVALENT if key.startswith(f"{unit}/")} <= keys


def test_a_family_only_tightens_exactly_if_it_never_allows():
    modules = {
        path: data
        for path, data in library().files.items()
        if path.startswith("broker/rules/") and path.endswith(".rego")
    }
    allowing: dict[str, bool] = {}
    tightening: dict[str, bool] = {}
    for path, tree in trees(opa(), modules).items():
        name = path.split("/")[2]
        allowing[name] = allowing.get(name, False) or "ALLOW" in declared_effects(tree)
        tightening[name] = tightening.get(name, False) or any(
            name_of(rule) == "tightens_only" and rule["head"]["value"]["value"] is True
            for rule in rules(tree)
        )
    assert {name: not tightens for name, tightens in tightening.items()} == allowing


SAMPLE = f'{ALLOW_ALL} if {{\n\tinput.tool.runner == "worker"\n\tnot _many\n}}\n'
MANY = "\n_many if count(input.call.arguments.to) > 3\n"
CASES = """\
cases:
  - case: one is few
    given: {call: {arguments: {to: [a]}}}
    expect: {effect: ALLOW, codes: [FINE]}
  - case: four are many
    given: {call: {arguments: {to: [a, b, c, d]}}}
    expect: {codes: []}
"""


def test_a_condition_that_no_case_needs_is_found():
    bundle = bundle_of(family(SAMPLE + MANY) | {"broker/rules/sample/sample_cases.yaml": CASES})
    mutants = mutants_by_unit(bundle)["broker/rules/sample"]
    left = survivors(bundle, read_cases(bundle), mutants)
    assert [mutant.key.partition(" ")[2] for mutant in left] == [
        'verdicts: input.tool.runner == "worker" -> true',
        "_many: > -> >=",
    ]

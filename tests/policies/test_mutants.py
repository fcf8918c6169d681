"""Every condition, operator and constant of a shipped rule matters to some case of its family."""

import functools

import pytest

from broker.policy.bundle import PolicyBundle, build
from broker.policy.cases.tables import read_cases
from broker.policy.sources import library_directory
from broker.policy.syntax import declared_effects, name_of, rules, trees
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa
from tests.policies.mutation import (
    Mutant,
    mutants_by_unit,
    passes_its_tests,
    survivors,
    untested,
)
from tests.policies.trees import TREES, tools_beside

EXAMPLES = ("support_desk",)

# Mutants that mean the same as the rule, and why.
EQUIVALENT: dict[str, str] = {
    "broker/rules/fetching/fetching verdicts: _all_known -> true": (
        "where the condition fails the family holds, and beside a hold an ALLOW changes nothing"
    ),
    "broker/rules/contained/contained _verdicts: _contained -> true": (
        "where the condition fails the family denies, and beside a denial an ALLOW changes nothing"
    ),
}


# Likewise of the entry point: a built-in that is given another type than it takes is undefined.
EQUIVALENT_ENTRY_POINT = {
    "broker/decision/form _well_formed: is_object(verdict) -> true",
    "broker/decision/form _well_formed: is_string(verdict.code) -> true",
    "broker/decision/form _terms_fit: is_object(partial) -> true",
    "broker/decision/form _dutiful: is_object(obligation) -> true",
}


@functools.cache
def bundle_of_tree(name: str) -> PolicyBundle:
    tree = TREES[name]
    return build(opa=opa(), directory=tree, tools=tools_beside(tree))


def library() -> PolicyBundle:
    return bundle_of_tree("library")


@functools.cache
def units(name: str) -> dict[str, list[Mutant]]:
    """Of a tree laid over the library: its own alone."""
    shipped = () if name == "library" else units("library")
    found = mutants_by_unit(bundle_of_tree(name))
    return {unit: mutants for unit, mutants in found.items() if unit not in shipped}


@pytest.mark.parametrize(
    ("tree", "unit"), [(tree, unit) for tree in ("library", *EXAMPLES) for unit in units(tree)]
)
def test_every_mutant_is_caught_by_a_case(tree, unit):
    bundle = bundle_of_tree(tree)
    left = survivors(bundle, read_cases(bundle), units(tree)[unit])
    named = [f"{mutant.line}: {mutant.key}" for mutant in left if mutant.key not in EQUIVALENT]
    assert named == []
    keys = {mutant.key for mutant in left}
    assert {key for key in EQUIVALENT if key.startswith(f"{unit}/")} <= keys


def test_every_mutant_of_the_entry_point_is_caught_by_its_tests():
    folder = library_directory() / "broker" / "decision"
    files = {f"broker/decision/{path.name}": path.read_bytes() for path in folder.glob("*.rego")}
    assert passes_its_tests(files)
    left = {mutant.key: mutant.line for mutant in untested(files)}
    assert left.keys() == EQUIVALENT_ENTRY_POINT, left


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

"""A new family checks and holds its own cases at once, and takes nothing's place."""

import json
import subprocess

import pytest

from broker.policy.bundle import build
from broker.policy.cases.judging import differences
from broker.policy.cases.running import run as run_cases
from broker.policy.cases.tables import read_cases
from broker.policy.sources import library_directory
from tests.fakes.policy_trees import opa

NAME = "night_shift"


@pytest.fixture
def tree(run, here):
    ran = run("policy", "new", "rule", NAME, "policies")
    assert (ran.code, ran.err) == (0, "")
    return here / "policies"


def test_a_new_family_is_taken_as_it_is_and_holds_its_cases(tree):
    bundle = build(opa=opa(), directory=tree)
    cases = [case for case in read_cases(bundle) if case.family == NAME]
    outcomes, _ = run_cases(opa(), bundle, cases)
    told = [differences(c.expected, found) for c, found in zip(cases, outcomes, strict=True)]
    assert len(cases) >= 5
    assert told == [[]] * len(cases)


def test_a_new_family_speaks_of_no_tool_until_its_parameters_name_one(tree):
    assert "tools: []" in (tree / "parameters" / NAME / "data.yaml").read_text("utf-8")


def test_a_new_family_is_formatted(tree):
    module = tree / "broker" / "rules" / NAME / f"{NAME}.rego"
    done = subprocess.run([opa(), "fmt", "--fail", module], capture_output=True, check=False)
    assert done.returncode == 0


def test_a_second_one_of_the_name_is_refused_and_nothing_is_written_over(tree, run):
    (tree / "parameters" / NAME / "data.yaml").write_text("tools: [pay]\n", "utf-8")
    ran = run("policy", "new", "rule", NAME, "policies")
    assert ran.code == 2
    assert "is there already" in ran.err
    assert (tree / "parameters" / NAME / "data.yaml").read_text("utf-8") == "tools: [pay]\n"


@pytest.mark.parametrize(
    "name", ["Hours", "9to5", "../out", "a-b", "input", "default", "a" * 41, ""]
)
def test_what_rego_could_not_call_a_package_is_no_name(run, here, name):
    ran = run("policy", "new", "rule", name, "policies")
    assert ran.code == 2
    assert list(here.iterdir()) == []


def test_the_name_of_a_shipped_family_is_taken(run, here):
    ran = run("policy", "new", "rule", "behaviour", "policies")
    assert (ran.code, "shipped family" in ran.err) == (2, True)
    assert list(here.iterdir()) == []


def test_the_schemas_of_an_editor_are_no_part_of_the_policy(tree, run):
    before = build(opa=opa(), directory=tree).revision
    ran = run("policy", "new", "schemas", "policies", "--json")
    assert ran.code == 0
    made = tree / ".schemas"
    shipped = library_directory() / "schemas" / "cases.json"
    assert (made / "cases.json").read_bytes() == shipped.read_bytes()
    assert json.loads((made / "input.json").read_text("utf-8"))["title"] == "Policy input"
    assert build(opa=opa(), directory=tree).revision == before


def test_the_cases_of_a_new_family_name_the_schema_that_is_made(tree, run):
    run("policy", "new", "schemas", "policies")
    table = tree / "broker" / "rules" / NAME / f"{NAME}_cases.yaml"
    named = table.read_text("utf-8").splitlines()[0].partition("$schema=")[2]
    assert (table.parent / named).is_file()

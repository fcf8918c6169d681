"""`policy test` says what failed, where, and on which values; its exit code is for a pipeline."""

import json
import shutil
from pathlib import Path

import pytest

from broker.cli.policy_test import changes
from tests.fakes.policy_trees import opa, write_tree
from tests.unit.cli.conftest import Run

RULES = """\
# METADATA
# title: Sizes
# description: What is large waits for a person.
package broker.rules.sizes

verdicts contains {"effect": "ALLOW", "code": "SMALL", "message": "It is small."} if _small

verdicts contains {"effect": "HOLD", "code": "LARGE", "message": "It is large."} if not _small

verdicts contains {"effect": "DENY", "code": "HUGE", "message": "It is huge."} if {
	input.call.arguments.size > 1000
}

_small if input.call.arguments.size <= data.parameters.sizes.most
"""
CASES = """\
given: {call: {arguments: {size: 5}}}
cases:
  - case: five is small
    expect: {effect: ALLOW, codes: [SMALL]}
  - case: six is large
    given: {call: {arguments: {size: 6}}}
    expect: {effect: HOLD, codes: [LARGE], hold: {reviewers: [reviewers]}}
  - case: what is large is for each to say
    parameters: {most: 6}
    given: {call: {arguments: {size: 6}}}
    expect: {effect: ALLOW, codes: [SMALL]}
"""


@pytest.fixture
def tree(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLBROKER_OPA", str(opa()))
    files = {
        "broker/rules/sizes/sizes.rego": RULES,
        "broker/rules/sizes/sizes_cases.yaml": CASES,
        "parameters/sizes/data.yaml": "most: 5\n",
    }
    return write_tree(here / "policies", files)


def test_what_holds_is_a_table_and_exit_code_0(run: Run, tree: Path) -> None:
    ran = run("policy", "test", "policies")
    assert ran.code == 0, ran.err
    header, row, last = ran.out.splitlines()
    assert header.split() == ["Family", "Cases", "Failed", "Lines", "Codes", "expected"]
    assert row.split() == ["sizes", "3", "0", "80", "%", "2", "of", "3,", "never", "HUGE"]
    assert last.startswith("3 cases, 0 failed, ")
    assert tree.is_dir()


def test_what_fails_is_named_with_its_line_and_the_values_that_decided(
    run: Run, tree: Path
) -> None:
    (tree / "parameters/sizes/data.yaml").write_text("most: 9\n")
    ran = run("policy", "test", "policies")
    assert ran.code == 1
    assert ran.err == ""
    failed, expected, reason, *_ = ran.out.splitlines()
    assert failed.split() == [
        *("FAIL", "sizes:", "six", "is", "large"),
        "policies/broker/rules/sizes/sizes_cases.yaml:5",
    ]
    assert expected == "     expected HOLD LARGE, got ALLOW SMALL"
    assert reason == (
        "     sizes.rego:14  input.call.arguments.size <= data.parameters.sizes.most    6 <= 9"
    )


def test_a_program_reads_the_same(run: Run, tree: Path) -> None:
    (tree / "parameters/sizes/data.yaml").write_text("most: 9\n")
    ran = run("policy", "test", "policies", "--json")
    assert ran.code == 1
    told = json.loads(ran.out)
    assert (told["cases"], told["failed"]) == (3, 1)
    (failure,) = told["failures"]
    assert (failure["line"], failure["got"]) == (5, {"effect": "ALLOW", "codes": ["SMALL"]})
    assert failure["reasons"][0]["values"] == "6 <= 9"
    (family,) = told["families"]
    assert family["codes_missed"] == ["HUGE"]
    assert {"file": "broker/rules/sizes/sizes.rego", "line": 10} in family["lines_missed"]


def test_fewer_lines_than_wanted_are_exit_code_1(run: Run, tree: Path) -> None:
    assert run("policy", "test", "policies", "--lines-min", "70").code == 0
    ran = run("policy", "test", "policies", "--lines-min", "95")
    assert ran.code == 1
    assert "Too few: sizes: 80 %" in ran.out
    assert tree.is_dir()


def test_a_rule_that_errs_denies_its_case_alone(run: Run, tree: Path) -> None:
    rules = RULES + "\n_erring if to_number(input.call.arguments.text) == 1\n"
    rules = rules.replace("if not _small", "if {\n\tnot _small\n\tnot _erring\n}")
    (tree / "broker/rules/sizes/sizes.rego").write_text(rules)
    cases = (
        "  - case: what is no number\n    given: {call: {arguments: {size: 6, text: x}}}\n"
        "    expect: {effect: HOLD, codes: [LARGE]}\n"
    )
    (tree / "broker/rules/sizes/sizes_cases.yaml").write_text(CASES + cases)
    ran = run("policy", "test", "policies")
    assert ran.code == 1
    assert "expected HOLD LARGE, got DENY POLICY_ERROR" in ran.out
    assert "4 cases, 1 failed" in ran.out


def test_a_family_that_is_not_there_is_named(run: Run, tree: Path) -> None:
    ran = run("policy", "test", "policies", "--family", "size")
    assert ran.code == 2
    assert "There is no family size. There are:" in ran.err
    assert tree.is_dir()


def test_a_shipped_family_is_tested_under_own_parameters_where_it_is_asked_for(
    run: Run, tree: Path
) -> None:
    ran = run("policy", "test", "policies", "--family", "behaviour")
    assert ran.code == 0
    assert ran.out.splitlines()[1].startswith("behaviour")
    assert tree.is_dir()


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("size: 5", "size: 5}, tol: {", ":1: given: no question has /call/tol"),
        ("six is large", "five is small", ":5: a second case of this name"),
        ("effect: HOLD, codes", "effect: WAIT, codes", ":5: 'WAIT' is not one of"),
        ("codes: [LARGE]", "code: [LARGE]", ":5: "),
        ("cases:", "cases: []\nothers:", ":1: [] should be non-empty"),
        (
            "size: 6}}}\n    expect: {effect: HOLD",
            "size: 6}, tool_: x}}\n    expect: {effect: HOLD",
            ":5: given: no question has /call/tool_",
        ),
    ],
)
def test_a_case_that_would_test_something_else_is_refused(
    run: Run, tree: Path, old: str, new: str, finding: str
) -> None:
    path = tree / "broker/rules/sizes/sizes_cases.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    ran = run("policy", "test", "policies")
    assert ran.code == 1
    assert "These cases are refused:" in ran.err
    assert f"broker/rules/sizes/sizes_cases.yaml{finding}" in ran.err


def test_watching_looks_again_when_a_file_has_changed_and_been_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.rego"
    file.write_text("one")
    looks: list[int] = []

    def pause() -> None:
        looks.append(len(looks))
        if len(looks) == 2:
            file.write_text("three")

    found = changes([tmp_path], pause=pause)
    next(found)
    assert looks == []
    next(found)
    assert looks == [0, 1, 2]


def test_watching_notices_a_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    found = changes([tmp_path], pause=lambda: shutil.rmtree(tmp_path / "rules", ignore_errors=True))
    next(found)
    next(found)

"""`policy check` refuses what lets calls through, and then what is hard to read."""

from pathlib import Path

import pytest

from tests.fakes.policy_trees import opa, write_tree
from tests.unit.cli.conftest import Run

RULES = """\
# METADATA
# title: Sizes
# description: What is large waits for a person.
package broker.rules.sizes

verdicts contains {"effect": "HOLD", "code": "LARGE", "message": "It is large."} if not _small

_small if input.call.arguments.size <= data.parameters.sizes.most
"""
FILE = "broker/rules/sizes/sizes.rego"


@pytest.fixture
def tree(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLBROKER_OPA", str(opa()))
    files = {FILE: RULES, "parameters/sizes/data.yaml": "most: 5\n"}
    return write_tree(here / "policies", files)


def test_rules_that_say_what_they_mean_pass(run: Run, tree: Path) -> None:
    ran = run("policy", "check", "policies")
    assert ran.code == 0, ran.err
    assert "nothing refused" in ran.out
    assert tree.is_dir()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("if not _small", "if not input.call.arguments.size <= 5", 6),
        ("sizes.most", "sizes.least", 8),
        ("if not _small", "if {\n\tnot regex.match(`small`, input.call.tool)\n}", 7),
        ("<= data", "<  data", 8),
        ("_small", "small", 8),
        ("# title: Sizes\n", "", 0),
    ],
)
def test_each_finding_has_its_line(run: Run, tree: Path, old: str, new: str, line: int) -> None:
    (tree / FILE).write_text(RULES.replace(old, new))
    ran = run("policy", "check", "policies")
    assert ran.code == 1
    assert ran.out == ""
    assert (f"  {FILE}:{line}: " if line else "  broker/rules/sizes: ") in ran.err


def test_what_only_reads_badly_may_come_into_force(run: Run, tree: Path) -> None:
    (tree / FILE).write_text(RULES.replace("_small", "small"))
    assert run("policy", "bundle", "b.tar.gz", "policies").code == 0

"""A new family refuses parameters that mean nothing to it, instead of speaking for no tool."""

from pathlib import Path

import pytest

from broker.cli.policy_new import new_rule
from broker.policy.bundle import BundleRefused, build
from broker.policy.lint import style
from tests.fakes.policy_trees import opa

NAME = "night_shift"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    new_rule(NAME, tmp_path)
    return tmp_path


def parameters(tree: Path, tools: str, most: str) -> None:
    text = f"tools: {tools}\nunattended_amount_minor_max: {most}\n"
    (tree / "parameters" / NAME / "data.yaml").write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("tools", "most"),
    [("refund", "5000"), ("[1]", "5000"), ("{refund: 1}", "5000"), ("[refund]", "'5000'")],
)
def test_parameters_of_another_kind_are_refused_by_a_new_family(
    tree: Path, tools: str, most: str
) -> None:
    parameters(tree, tools, most)
    with pytest.raises(BundleRefused, match=f"parameters/{NAME}: these mean nothing"):
        build(opa=opa(), directory=tree)


def test_a_misspelt_parameter_is_refused_by_a_new_family(tree: Path) -> None:
    path = tree / "parameters" / NAME / "data.yaml"
    path.write_text("tool: [refund]\nunattended_amount_minor_max: 5000\n", "utf-8")
    with pytest.raises(BundleRefused, match=f"parameters/{NAME}: these mean nothing"):
        build(opa=opa(), directory=tree)


def test_a_new_family_takes_its_own_parameters_and_more(tree: Path) -> None:
    parameters(tree, "[refund, pay]", "0\ncurrencies: [EUR]")
    bundle = build(opa=opa(), directory=tree)
    assert NAME in bundle.families


def test_a_new_family_reads_as_rules_should(tree: Path) -> None:
    files = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*.rego")}
    assert len(files) == 2
    assert style(opa(), files) == []


def test_the_mistakes_that_a_new_family_invites_are_told(tree: Path) -> None:
    path = tree / "broker" / "rules" / NAME / f"{NAME}.rego"
    text = path.read_text("utf-8")
    wrong = text.replace('"effect": "HOLD"', '"effect": "HOLDD"')
    assert ' "HOLDD" is no effect' in "".join(
        style(opa(), {"broker/rules/a/a.rego": wrong.encode()})
    )
    wrong = text.replace("if not _small", "if input.call.arguments.amount_minor > 5000")
    assert wrong != text
    assert "this HOLD is skipped" in "".join(
        style(opa(), {"broker/rules/a/a.rego": wrong.encode()})
    )

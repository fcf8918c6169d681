"""Every threat that is said to be stopped names the tests that attack it."""

import ast
import re

import pytest

from tests.docs.pages import ROOT, sections

PAGE = ROOT / "docs" / "THREATS.md"
TESTS = ROOT / "tests"
WITHOUT_CLAIMS = {"What is worth protecting", "What nothing stops", "What is not there yet"}

_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_CLAIM = re.compile(r"^\* ", re.MULTILINE)


def _claims() -> list[str]:
    return [
        claim
        for heading, text in sections(PAGE).items()
        if heading not in WITHOUT_CLAIMS
        for claim in _CLAIM.split(text)[1:]
    ]


def _tests_of(name: str) -> set[str]:
    path = TESTS / name
    if not path.is_file():
        return set()
    module = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(module)  # some are there only where there is something to run
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_the_headings_without_claims_are_there():
    assert set(sections(PAGE)) > WITHOUT_CLAIMS


@pytest.mark.parametrize("claim", _claims(), ids=lambda c: re.sub(r"\W+", "-", c[:50]).strip("-"))
def test_a_claim_names_tests_that_exist(claim: str):
    named = _NAMED.findall(claim)
    assert named, f"nothing attacks this claim: {claim}"
    missing = [f"{file}::{test}" for file, test in named if test not in _tests_of(file)]
    assert missing == []


def test_every_attack_is_named():
    named = {file for file, _ in _NAMED.findall(PAGE.read_text(encoding="utf-8"))}
    attacks = {
        path.relative_to(TESTS).as_posix() for path in (TESTS / "attacks").rglob("test_*.py")
    }
    assert sorted(attacks - named) == []

"""The JSON Schema test suite, draft 2020-12, where the evaluator's folder is at hand.

`CALLBROKER_REPLAY` names that folder; without it the one test here says so.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.replay.validator import check

FOLDER = os.environ.get("CALLBROKER_REPLAY")
# What leads to another document is refused, so those cases say nothing about the rest.
REMOTE = ("localhost:1234", '$ref": "https://json-schema.org')

if FOLDER is None:

    def test_the_suite_says_that_it_was_not_asked_for(capsys):
        with capsys.disabled():
            print("\nJSON Schema suite: not run, CALLBROKER_REPLAY names no folder.")  # noqa: T201

else:

    @pytest.fixture(scope="module")
    def required() -> Counter[str]:
        return answers(Path(FOLDER), "required")

    def test_no_invalid_instance_is_accepted(required):
        assert required["tests"] > 1_000
        assert required["accepted invalid"] == 0

    def test_at_least_995_of_1000_are_right(required):
        assert required["right"] >= 0.995 * required["tests"], required


def answers(folder: Path, group: str) -> Counter[str]:
    """Put the cases of a group to the validator; an exception is no answer, and counts as such."""
    counts: Counter[str] = Counter()
    text = (folder / "dev" / "jsts" / "tests.jsonl").read_text(encoding="utf-8")
    for line in filter(None, text.split("\n")):
        case = json.loads(line)
        if case["group"] != group or any(mark in line for mark in REMOTE):
            continue
        for test in case["tests"]:
            counts["tests"] += 1
            counts[answer(case["schema"], test)] += 1
    return counts


def answer(schema, test) -> str:
    try:
        valid = check(schema, test["data"], {})
    except ValueError:
        return "raised"
    if valid is test["valid"]:
        return "right"
    return "accepted invalid" if valid else "refused valid"

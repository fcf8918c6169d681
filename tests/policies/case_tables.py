"""Runs the tables of cases that lie beside rule families, each family alone, on real OPA.

A case's question is the file's `given` and then its own, laid as RFC 7396 merge patches over a
question that asks for nothing. It goes through the entry point of the built bundle with this
family as the only one, so that a malformed verdict fails its case. All cases of a family are one
evaluation.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.core.question_schema import EXAMPLE
from broker.policy.bundle import PolicyBundle
from broker.yaml_documents import read_yaml
from tests.fakes.policy_trees import opa

EFFECTS = ("DENY", "HOLD", "ALLOW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    family: str
    name: str
    question: dict[str, Any]
    expected: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the family alone says: the strictest effect (None where silent) and all that has it."""

    effect: str | None
    codes: list[str]
    terms: list[dict[str, Any]]
    obligations: list[dict[str, Any]]


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396 section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def tables(bundle: PolicyBundle) -> dict[str, dict[str, Any]]:
    """The parsed tables, by their path in the bundle."""
    return {
        path: read_yaml(data) for path, data in bundle.files.items() if path.endswith("_cases.yaml")
    }


def cases_of(bundle: PolicyBundle) -> list[Case]:
    return [
        Case(
            family=path.split("/")[2],
            name=case["case"],
            question=merge_patch(
                merge_patch(EXAMPLE, table.get("given", {})), case.get("given", {})
            ),
            expected=case["expect"],
        )
        for path, table in tables(bundle).items()
        for case in table["cases"]
    ]


def run(bundle: PolicyBundle, cases: list[Case]) -> list[Outcome]:
    """Outcomes in the order of `cases`, which are of one family."""
    (family,) = {case.family for case in cases}
    answers = ask(bundle, [case.question for case in cases], families=[family])
    return [_outcome(answer) for answer in answers]


def ask(
    bundle: PolicyBundle, questions: list[Any], *, families: list[str] | None = None, **data: Any
) -> list[Any]:
    """Evaluate the entry point on many inputs at once; an undefined answer is None.

    Args:
        families: instead of the bundle's own.
        data: other members of `data.callbroker` to replace.
    """
    replaced = data if families is None else {"families": families, **data}
    swaps = "".join(
        f" with data.callbroker.{name} as {json.dumps(value)}" for name, value in replaced.items()
    )
    query = (
        "{i: d | some i, x in input.batch; "
        f"d := data.broker.decision.decision with input as x{swaps}}}"
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bundle.tar.gz"
        path.write_bytes(bundle.bundle)
        ended = subprocess.run(
            [
                *(opa(), "eval", "--bundle", path, "--format=json", "--strict-builtin-errors"),
                *("--stdin-input", query),
            ],
            input=json.dumps({"batch": questions}).encode(),
            capture_output=True,
            timeout=120,
            check=False,
        )
    printed = json.loads(ended.stdout)
    assert ended.returncode == 0, printed
    answers = printed["result"][0]["expressions"][0]["value"]
    return [answers.get(str(number)) for number in range(len(questions))]


def _outcome(answer: dict[str, Any]) -> Outcome:
    spoken = [verdict for verdict in answer["verdicts"] if verdict["family"] != ""]
    effects = {verdict["effect"] for verdict in spoken}
    effect = next((effect for effect in EFFECTS if effect in effects), None)
    strictest = [verdict for verdict in spoken if verdict["effect"] == effect]
    return Outcome(
        effect=effect,
        codes=sorted({verdict["code"] for verdict in strictest}),
        terms=[verdict["hold"] for verdict in strictest if "hold" in verdict],
        obligations=[
            {name: value for name, value in obligation.items() if name != "family"}
            for obligation in answer["obligations"]
        ],
    )

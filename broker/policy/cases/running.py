"""All cases are one evaluation on real OPA, each with its family alone, as the broker would ask.

They go through the entry point of the built bundle, so that a malformed verdict fails its case, and
with strict built-in errors, so that a rule which errs denies here as it does there: such a case is
found by halves, and its outcome is what the broker makes of it.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.policy import opa_command
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.tables import Case
from broker.policy.opa_command import ENTRY_POINT, CommandRefused

EFFECTS: Final = ("DENY", "HOLD", "ALLOW")
CASES_A_RUN_MAX: Final = 2_000
# Bound first: OPA 1.22 takes a reference behind `with input as` for undefined, without a word.
_QUERY: Final = f"""{{i: decision |
	some i, asked in input.cases
	question := input.values[asked.question]
	families := [asked.family]
	parameters := input.values[asked.parameters]
	decision := {ENTRY_POINT} with input as question
		with data.callbroker.families as families
		with data.parameters as parameters
}}"""
_STRICT: Final = "--strict-builtin-errors"
_COVERAGE: Final = "--coverage"

Coverage = dict[str, dict[str, list[dict[str, Any]]]]
"""By file in the bundle: `covered` and `not_covered` ranges, as OPA reports them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a family alone says: the strictest effect (None where silent) and all that has it.

    Attributes:
        effect: DENY, HOLD, ALLOW or None.
        codes: sorted.
        terms: of each verdict of this effect that has any.
        obligations: without the family's name.
        error: what OPA said, where a rule failed on this question; the outcome is then
            DENY POLICY_ERROR, or POLICY_UNDEFINED where there is no answer at all.
    """

    effect: str | None
    codes: tuple[str, ...]
    terms: tuple[Mapping[str, JsonValue], ...] = ()
    obligations: tuple[JsonValue, ...] = ()
    error: str = ""


def run(
    opa: Path, bundle: PolicyBundle, cases: Sequence[Case]
) -> tuple[list[Outcome], list[Coverage]]:
    """Outcomes in the order of the cases, and what OPA reports as covered, run by run.

    Raises:
        CommandRefused: OPA does not take the question, which is a defect.
        PolicyUnavailable: OPA cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-cases-") as scratch:
        path = Path(scratch) / "bundle.tar.gz"
        path.write_bytes(bundle.bundle)
        return run_at(opa, path, cases)


def run_at(
    opa: Path,
    bundle: Path,
    cases: Sequence[Case],
    *,
    flags: Iterable[str] = (_STRICT, _COVERAGE),
    cases_max: int = CASES_A_RUN_MAX,
) -> tuple[list[Outcome], list[Coverage]]:
    """As `run`, of a bundle or tree that lies at `bundle`, with these flags of `opa eval`."""
    outcomes: list[Outcome] = []
    coverages: list[Coverage] = []
    for first in range(0, len(cases), cases_max):
        batch = cases[first : first + cases_max]
        _run(opa, bundle, batch, [*flags], outcomes, coverages)
    return outcomes, coverages


def _run(
    opa: Path,
    bundle: Path,
    cases: Sequence[Case],
    flags: list[str],
    outcomes: list[Outcome],
    coverages: list[Coverage],
) -> None:
    try:
        printed = opa_command.query(opa, _QUERY, bundle=bundle, given=given_of(cases), flags=flags)
    except CommandRefused as refused:
        if len(cases) == 1:
            error = "; ".join(refused.findings)
            outcomes.append(Outcome(effect="DENY", codes=("POLICY_ERROR",), error=error))
            return
        half = len(cases) // 2
        _run(opa, bundle, cases[:half], flags, outcomes, coverages)
        _run(opa, bundle, cases[half:], flags, outcomes, coverages)
        return
    answers = printed["result"][0]["expressions"][0]["value"]
    outcomes += [outcome_of(answers.get(str(number))) for number in range(len(cases))]
    files: Coverage = printed.get("coverage", {}).get("files", {})
    coverages.append({path.removeprefix("/"): ranges for path, ranges in files.items()})


def given_of(cases: Iterable[Case]) -> JsonValue:
    """The cases as one input; what several share, once."""
    asked: list[JsonValue] = []
    numbers: dict[str, int] = {}
    values: list[JsonValue] = []

    def number_of(value: JsonValue) -> int:
        number = numbers.setdefault(json.dumps(value, sort_keys=True), len(values))
        if number == len(values):
            values.append(value)
        return number

    for case in cases:
        question, parameters = number_of(case.question), number_of(case.parameters)
        asked.append({"family": case.family, "question": question, "parameters": parameters})
    return {"cases": asked, "values": values}


def outcome_of(answer: Any) -> Outcome:
    """What an answer of the entry point says, of its families alone."""
    if not isinstance(answer, dict):
        return Outcome(effect="DENY", codes=("POLICY_UNDEFINED",), error="there is no answer")
    spoken = [verdict for verdict in answer["verdicts"] if verdict["family"] != ""]
    effects = {verdict["effect"] for verdict in spoken}
    effect = next((effect for effect in EFFECTS if effect in effects), None)
    strictest = [verdict for verdict in spoken if verdict["effect"] == effect]
    return Outcome(
        effect=effect,
        codes=tuple(sorted({verdict["code"] for verdict in strictest})),
        terms=tuple(verdict["hold"] for verdict in strictest if "hold" in verdict),
        obligations=tuple(
            {name: value for name, value in obligation.items() if name != "family"}
            for obligation in answer["obligations"]
        ),
    )

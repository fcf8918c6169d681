"""What `policy explain` is asked about: a past call, a case of a family, or a policy input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.cli.connection import looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.recorded import asked_decision, find_decision
from broker.core.arguments import JsonValue
from broker.core.recorded import RecordedDecision
from broker.core.text import visible
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.tables import Case, TablesRefused, read_cases

_QUESTION_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is explained.

    Attributes:
        title: one line, escaped already.
        parameters: of a case; None for the policy's own.
        families: that count; None for all.
        decision: as it was recorded, of a past call.
    """

    title: str
    question: Mapping[str, JsonValue]
    parameters: JsonValue = None
    families: tuple[str, ...] | None = None
    decision: RecordedDecision | None = None


def of_call(call: str) -> Subject:
    """A past call, as the broker recorded it.

    Raises:
        CommandFailed: there is none, or policy was not asked about it.
    """
    with looking() as line:
        decision = asked_decision(find_decision(line, call))
    return Subject(
        title=decision.summary or visible(decision.tool),
        question=decision.question or {},
        decision=decision,
    )


def of_file(path: Path) -> Subject:
    """A policy input in a file.

    Raises:
        CommandFailed: it is none.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_QUESTION_BYTES_MAX))
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}.", exit_code=ExitCode.USAGE) from error
    except ValueError as error:
        raise CommandFailed(f"{path} is no JSON.", exit_code=ExitCode.USAGE) from error
    if not isinstance(document, dict) or not isinstance(document.get("call"), dict):
        raise CommandFailed(
            f"{path} is no policy input: `callbroker policy input CALL` prints one.",
            exit_code=ExitCode.USAGE,
        )
    return Subject(title=visible(str(document["call"].get("tool", path.name))), question=document)


def of_case(bundle: PolicyBundle, wanted: str) -> Subject:
    """A case that lies beside a family: `family/how its name begins`.

    Raises:
        CommandFailed: none is meant, or several, or the tables cannot be read.
    """
    try:
        cases: Sequence[Case] = read_cases(bundle)
    except TablesRefused as refused:
        raise CommandFailed("These cases cannot be read:", findings=refused.findings) from refused
    family, _, name = wanted.partition("/")
    of_family = [case for case in cases if case.family == family]
    exact = [case for case in of_family if case.name == name]
    found = exact or [case for case in of_family if case.name.startswith(name)]
    if len(found) != 1:
        problem = "There is no such case." if not found else "Several cases begin like this."
        raise CommandFailed(
            f"{problem} Of {family or 'no family'} there are:",
            exit_code=ExitCode.USAGE,
            findings=tuple(f"{case.family}/{case.name}" for case in (found or of_family or cases)),
        )
    (case,) = found
    question = case.question if isinstance(case.question, dict) else {}
    return Subject(
        title=visible(f"{case.family}: {case.name}"),
        question=question,
        parameters=case.parameters,
        families=(case.family,),
    )

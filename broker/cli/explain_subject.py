"""What `policy explain` is asked about: a past call, a case of a family, or a policy input."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from broker.cli.connection import looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.invocations import resolved
from broker.cli.policy_candidate import candidate
from broker.cli.recorded import asked_decision, decision_of, find_decision
from broker.core.arguments import JsonValue
from broker.core.explanation import Explanation
from broker.core.explanation_reading import MalformedExplanation, read_explanation
from broker.core.manifest import ToolManifest
from broker.core.passing import money_in, passed
from broker.core.recorded import RecordedDecision
from broker.core.text import visible
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.tables import Case, TablesRefused, read_cases
from broker.policy.explaining.explain import explain
from broker.v1 import admin_pb2

_EXPLAIN_DEADLINE_S: Final = 60.0
_LISTED_MAX: Final = 20
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


def by_broker(call: str) -> tuple[Subject, Explanation]:
    """A past call, explained by the broker with the policy that decided it.

    Raises:
        CommandFailed: there is none, or policy was not asked about it.
    """
    with looking() as line:
        request = admin_pb2.ExplainInvocationRequest(name=resolved(line, call))
        told = line.ask(line.stub.ExplainInvocation, request, deadline_s=_EXPLAIN_DEADLINE_S)
    try:
        explanation = read_explanation(json.loads(told.explanation_json))
    except (MalformedExplanation, ValueError) as wrong:
        raise CommandFailed("The broker is of another release: give a DIR.") from wrong
    return _subject(decision_of(told.decision)), explanation


def here(
    directory: Path | None,
    *,
    call: str,
    case: str,
    given: Path | None,
    preset: str,
    tools: Path | None,
) -> tuple[Subject, Explanation]:
    """A call, a case or an input, explained on this machine with the policy of a directory.

    Raises:
        CommandFailed: there is none, or the policy is refused.
    """
    subject = of_call(call) if call else None if given is None else of_file(given)
    with candidate(directory, preset=preset, tools=tools, asks=bool(call)) as built:
        subject = subject or of_case(built.bundle, case)
        manifest = _manifest_of(subject.question, built.manifests)
        explanation = explain(
            built.bundle,
            subject.question,
            opa=built.opa,
            parameters=subject.parameters,
            families=subject.families,
            money=money_in(manifest, subject.question) if manifest else {},
        )
    decision = subject.decision
    if manifest and decision and manifest.revision == decision.tool_revision:
        before = passed(manifest, subject.question, decision.verdicts)
        explanation = replace(explanation, passed=before)
    return subject, explanation


def _manifest_of(
    question: Mapping[str, JsonValue], found: Iterable[ToolManifest]
) -> ToolManifest | None:
    """Of the tool that was called, where it is among these."""
    call = question.get("call")
    name = call.get("tool") if isinstance(call, Mapping) else None
    return next((manifest for manifest in found if manifest.name == name), None)


def of_call(call: str) -> Subject:
    """A past call, as the broker recorded it.

    Raises:
        CommandFailed: there is none, or policy was not asked about it.
    """
    with looking() as line:
        return _subject(asked_decision(find_decision(line, call)))


def _subject(decision: RecordedDecision) -> Subject:
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
        problem, listed = _meant(found, of_family, cases, wanted)
        raise CommandFailed(problem, exit_code=ExitCode.USAGE, findings=listed)
    (case,) = found
    question = case.question if isinstance(case.question, dict) else {}
    return Subject(
        title=visible(f"{case.family}: {case.name}"),
        question=question,
        parameters=case.parameters,
        families=(case.family,),
    )


def _meant(
    found: Sequence[Case], of_family: Sequence[Case], cases: Sequence[Case], wanted: str
) -> tuple[str, tuple[str, ...]]:
    """What is wrong with what was asked for, and what may have been meant."""
    if found:
        return "Several cases begin like this:", _named(found)
    if of_family:
        return f"There is no such case. Of {of_family[0].family} there are:", _named(of_family)
    like = [case for case in cases if wanted.casefold() in case.name.casefold()]
    if like and wanted:
        return "Say which family's case: FAMILY/HOW ITS NAME BEGINS. These are like it:", _named(
            like
        )
    families = tuple(dict.fromkeys(case.family for case in cases))
    return "There is no such case: say FAMILY/HOW ITS NAME BEGINS. Families with cases:", families


def _named(cases: Sequence[Case]) -> tuple[str, ...]:
    names = [f"{case.family}/{case.name}" for case in cases[:_LISTED_MAX]]
    more = len(cases) - len(names)
    return (*names, f"and {more} more") if more else tuple(names)

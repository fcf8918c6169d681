"""Past decisions as commands read them: over the broker's API, or from an export of the log."""

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.cli.connection import Line
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.invocations import resolved
from broker.cli.json_output import enum_word
from broker.cli.times import epoch
from broker.core.arguments import JsonValue
from broker.core.decision import Effect, HoldTerms, Obligation, Verdict
from broker.core.recorded import MalformedRecord, RecordedDecision, is_decision, recorded_decision
from broker.v1 import admin_pb2, types_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub

PAGE_SIZE: Final = 200
# Only a first look, which spares reading what is surely no decision.
_MARK: Final = b'"kind":"call.decided"'


def find_decision(line: Line[AdminServiceStub], call: str) -> admin_pb2.RecordedDecision:
    """The latest decision on a call, by any of its names.

    Raises:
        CommandFailed: there is none.
    """
    request = admin_pb2.GetRecordedDecisionRequest(name=resolved(line, call))
    return line.ask(line.stub.GetRecordedDecision, request).decision


def asked_decision(told: admin_pb2.RecordedDecision) -> RecordedDecision:
    """A decision that policy was asked about.

    Raises:
        CommandFailed: it was not, or nobody knows any more.
    """
    decision = decision_of(told)
    if decision.is_erased:
        raise CommandFailed("What was asked is erased; the log still says what was decided.")
    if decision.question is None:
        reasons = ", ".join(verdict.code for verdict in decision.verdicts)
        raise CommandFailed(f"Policy was not asked: {reasons} had decided before.")
    return decision


def decision_of(told: admin_pb2.RecordedDecision) -> RecordedDecision:
    """A decision as a broker tells it."""
    return RecordedDecision(
        entry=told.entry,
        invocation=told.invocation,
        at=epoch(told.decide_time),
        tool=told.tool,
        tool_revision=told.tool_revision,
        policy_revision=told.policy_revision,
        effect=_effect(told.effect),
        verdicts=tuple(_verdict(verdict) for verdict in told.verdicts),
        obligations=tuple(Obligation(kind=o.kind, family=o.family) for o in told.obligations),
        summary=told.summary,
        question=_question(told.question_json),
        is_erased=told.erased,
    )


def broker_decisions(
    line: Line[AdminServiceStub], *, tool: str, since: datetime | None
) -> Iterator[RecordedDecision]:
    """All decisions of a broker, those of the newest calls first.

    Raises:
        CommandFailed: it does not answer.
    """
    request = admin_pb2.ListRecordedDecisionsRequest(tool=tool, page_size=PAGE_SIZE)
    if since is not None:
        start = Timestamp()
        start.FromDatetime(since)
        request.start_time.CopyFrom(start)
    while True:
        page = line.ask(line.stub.ListRecordedDecisions, request)
        yield from map(decision_of, page.decisions)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def exported_decisions(
    path: Path, *, tool: str, since: datetime | None
) -> Iterator[RecordedDecision]:
    """The decisions in an export of the log, in its order. Signatures are `audit verify`'s matter.

    Raises:
        CommandFailed: the file cannot be read or has no contents, at once; a line is no export's,
            when it is read.
    """
    with _readable(path), path.open("rb") as lines:
        _require_contents(lines.readline(), path)
    return _exported_decisions(path, tool=tool, since_s=since.timestamp() if since else 0.0)


def _exported_decisions(path: Path, *, tool: str, since_s: float) -> Iterator[RecordedDecision]:
    with _readable(path), path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            decision = _exported(line, path, number) if _MARK in line else None
            if decision is None or decision.at < since_s:
                continue
            if tool in {"", decision.tool}:
                yield decision


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}.", exit_code=ExitCode.USAGE) from error


def _require_contents(line: bytes, path: Path) -> None:
    try:
        has_contents = json.loads(line)["header"]["contents"]
    except (ValueError, KeyError, TypeError):
        raise CommandFailed(
            f"{path} is no export of the log: `callbroker audit export --contents` makes one.",
            exit_code=ExitCode.USAGE,
        ) from None
    if has_contents is not True:
        raise CommandFailed(
            f"{path} was taken without contents, so nobody knows what was asked: "
            "`callbroker audit export --contents`.",
            exit_code=ExitCode.USAGE,
        )


def _exported(line: bytes, path: Path, number: int) -> RecordedDecision | None:
    try:
        told = json.loads(line)
        entry = told["entry"]
        if not is_decision(entry):
            return None
        return recorded_decision(entry, told.get("contents"))
    except (MalformedRecord, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, MalformedRecord) else "It is no line of an export."
        raise CommandFailed(f"{path}, line {number}: {why}", exit_code=ExitCode.USAGE) from error


def _question(document: bytes) -> dict[str, JsonValue] | None:
    if not document:
        return None
    question: dict[str, JsonValue] = json.loads(document)
    return question


def _verdict(told: admin_pb2.RecordedVerdict) -> Verdict:
    return Verdict(
        effect=_effect(told.effect),
        stage=told.stage,
        family=told.family,
        code=told.code,
        message=told.message,
        enforced=told.enforced,
        terms=_terms(told.terms) if told.HasField("terms") else None,
    )


def _terms(told: admin_pb2.RecordedTerms) -> HoldTerms:
    return HoldTerms(
        reviewers=tuple(told.reviewers),
        approvals_required=told.approvals_required,
        decide_within_s=told.decide_within.seconds,
        run_within_s=told.run_within.seconds,
        step_up=told.step_up,
    )


def _effect(number: Any) -> Effect:
    """What is not said, or not known here, is DENY."""
    word = enum_word(types_pb2.Effect.DESCRIPTOR, number)
    return Effect.__members__.get(word, Effect.DENY)

"""Recorded decisions for the wire: all that the log has of them, for operators and auditors."""

from google.protobuf.duration_pb2 import Duration

from broker.core.canonical import canonical_bytes
from broker.core.decision import HoldTerms, Verdict
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.recorded import RecordedDecision
from broker.ports import DecisionQuery
from broker.rpc.convert import instant, malformed, timestamp
from broker.rpc.convert_invocation import effect_out
from broker.v1 import admin_pb2

PAGE_BYTES_MAX = 1024 * 1024
"""Of entries and contents; what a page has beside them keeps it well below a message's bound."""


def decision_query(
    request: admin_pb2.ListRecordedDecisionsRequest, *, page_size: int, before: str
) -> DecisionQuery:
    """Which decisions.

    Raises:
        MalformedRequest: a field means nothing.
    """
    if len(request.tool) > NAME_CHARACTERS_MAX:
        raise malformed("tool", "There is no such tool.")
    return DecisionQuery(
        tool=request.tool,
        since=instant(request.start_time, field="start_time"),
        until=instant(request.end_time, field="end_time"),
        page_size=page_size,
        bytes_max=PAGE_BYTES_MAX,
        before=before,
    )


def decision_out(decision: RecordedDecision) -> admin_pb2.RecordedDecision:
    """One decision."""
    question = decision.question
    return admin_pb2.RecordedDecision(
        invocation=decision.invocation,
        entry=decision.entry,
        decide_time=timestamp(decision.at),
        tool=decision.tool,
        tool_revision=decision.tool_revision,
        policy_revision=decision.policy_revision,
        effect=effect_out(decision.effect),
        verdicts=[_verdict(verdict) for verdict in decision.verdicts],
        obligations=[
            admin_pb2.RecordedObligation(kind=o.kind, family=o.family) for o in decision.obligations
        ],
        summary=decision.summary,
        question_json=b"" if question is None else canonical_bytes(dict(question)),
        erased=decision.is_erased,
    )


def _verdict(verdict: Verdict) -> admin_pb2.RecordedVerdict:
    return admin_pb2.RecordedVerdict(
        effect=effect_out(verdict.effect),
        stage=verdict.stage,
        family=verdict.family,
        code=verdict.code,
        message=verdict.message,
        enforced=verdict.enforced,
        terms=None if verdict.terms is None else _terms(verdict.terms),
    )


def _terms(terms: HoldTerms) -> admin_pb2.RecordedTerms:
    return admin_pb2.RecordedTerms(
        reviewers=terms.reviewers,
        approvals_required=terms.approvals_required,
        decide_within=Duration(seconds=terms.decide_within_s),
        run_within=Duration(seconds=terms.run_within_s),
        step_up=terms.step_up,
    )

"""The log cannot be quietly edited: entries are linked, leaves are hashed, heads are signed elsewhere.

An `EntryDraft` is what a use case wants said; the store's writer gives it its place. Contents
(arguments, results, facts, words, policy input) lie apart, in a row that can be erased, and the
entry commits to them with a salted digest.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue


class EntryKind(enum.StrEnum):
    """Everything that is ever said, in the past tense."""

    BROKER_STARTED = "broker.started"
    REQUEST_MALFORMED = "request.malformed"
    REQUEST_REFUSED = "request.refused"
    MANDATE_CREATED = "mandate.created"
    WORDS_ADDED = "words.added"
    SESSION_OPENED = "session.opened"
    SESSION_ENDED = "session.ended"
    CALL_DECIDED = "call.decided"
    HOLD_OPENED = "hold.opened"
    HOLD_CHANGED = "hold.changed"
    REVIEW_GIVEN = "review.given"
    ATTEMPT_STARTED = "attempt.started"
    ATTEMPT_ANSWERED_LATE = "attempt.answered_late"
    CALL_ENDED = "call.ended"
    CALL_RECONCILED = "call.reconciled"
    TOOL_PUT = "tool.put"
    TOOL_DELETED = "tool.deleted"
    POLICY_ACTIVATED = "policy.activated"
    POLICY_REFUSED = "policy.refused"
    GRANT_CREATED = "grant.created"
    GRANT_DELETED = "grant.deleted"
    FREEZE_CREATED = "freeze.created"
    FREEZE_DELETED = "freeze.deleted"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_REVOKED = "credential.revoked"
    AUDIT_EXPORTED = "audit.exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDraft:
    """What a use case wants said.

    Attributes:
        at: POSIX seconds.
        actor: who did it: a credential's subject, or `broker`.
        invocation, session: what it belongs to, where anything.
        body: small and lasting: ids, digests, revisions, codes, verdicts; never contents.
        contents: erasable; the entry commits to them with a salted digest.
    """

    kind: EntryKind
    at: float
    actor: str
    invocation: str = ""
    session: str = ""
    body: Mapping[str, JsonValue] = field(default_factory=dict)
    contents: Mapping[str, JsonValue] | None = None

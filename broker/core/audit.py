"""The log cannot be quietly edited: entries are linked, leaves hashed, heads signed elsewhere.

An `EntryDraft` is what a use case wants said; the store's writer gives it its place with `link`.
Each broker instance has a chain of its own. An entry's bytes are the RFC 8785 form of all that it
says, among it the SHA-256 of the entry before, which anybody can follow; beside the entry stands a
keyed hash over the one before and the bytes, which only the holder of the key can make. Contents
(arguments, results, facts, words, policy input) lie apart, in a row that can be erased, and the
entry commits to them with a salted digest.
"""

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes, content_digest

SALT_BYTES: Final = 32
MAC_BYTES: Final = 32


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
    CALLS_REPEATED = "calls.repeated"
    HOLD_OPENED = "hold.opened"
    HOLD_CHANGED = "hold.changed"
    REVIEW_GIVEN = "review.given"
    HOLD_TAKEN = "hold.taken"
    SIGN_IN_CREATED = "sign_in.created"
    SIGN_IN_ENDED = "sign_in.ended"
    ATTEMPT_STARTED = "attempt.started"
    ATTEMPT_ANSWERED_LATE = "attempt.answered_late"
    CALL_ENDED = "call.ended"
    CALL_RECONCILED = "call.reconciled"
    ARTEFACT_CREATED = "artefact.created"
    ARTEFACTS_ERASED = "artefacts.erased"
    TOOL_PUT = "tool.put"
    TOOL_DELETED = "tool.deleted"
    POLICY_ACTIVATED = "policy.activated"
    POLICY_REFUSED = "policy.refused"
    GRANT_CREATED = "grant.created"
    GRANT_DELETED = "grant.deleted"
    FREEZE_CREATED = "freeze.created"
    FREEZE_DELETED = "freeze.deleted"
    OBSERVATION_CREATED = "observation.created"
    OBSERVATION_DELETED = "observation.deleted"
    SHADOW_STARTED = "shadow.started"
    SHADOW_STOPPED = "shadow.stopped"
    DIRECTORY_PUT = "directory.put"
    DIRECTORY_DELETED = "directory.deleted"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_ROTATED = "credential.rotated"
    CREDENTIAL_REVOKED = "credential.revoked"
    IDENTITY_REVOKED = "identity.revoked"
    NOTICES_GIVEN_UP = "notices.given_up"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_KEYS_ROTATED = "audit.keys_rotated"
    BACKUP_TAKEN = "backup.taken"
    LOG_RESTORED = "log.restored"
    RETENTION_SET = "retention.set"
    CONTENTS_ERASED = "contents.erased"
    LEGAL_HOLD_CREATED = "legal_hold.created"
    LEGAL_HOLD_DELETED = "legal_hold.deleted"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """Where one instance's chain stands; as it is made, before its first entry.

    Attributes:
        sequence: of the last entry; entries count from 1.
        previous: the last entry's SHA-256 as 64 hexadecimal digits; empty before the first.
        mac: the last entry's keyed hash.
    """

    sequence: int = 0
    previous: str = ""
    mac: bytes = bytes(MAC_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an entry commits to: RFC 8785 bytes and the salt of their digest."""

    salt: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedEntry:
    """An entry in its place.

    Attributes:
        about: the mandate or session that it tells of, where it is of no invocation.
        entry: its bytes, all that is hashed.
        head: the chain's head after it; `head.mac` is the entry's own keyed hash.
    """

    id: str
    invocation: str
    about: str
    entry: bytes
    head: ChainHead
    contents: Contents | None


def link(
    draft: EntryDraft,
    head: ChainHead,
    *,
    instance: str,
    entry_id: str,
    salt: bytes,
    key: bytes,
) -> LinkedEntry:
    """Put an entry at the end of an instance's chain.

    Args:
        draft: what it says.
        head: the chain as it stands.
        instance: whose chain.
        entry_id: a UUIDv7 in text form.
        salt: `SALT_BYTES` random bytes, of no other entry.
        key: of the keyed hash.

    Raises:
        ValueError: body or contents have no canonical form.
    """
    contents = None
    if draft.contents is not None:
        contents = Contents(salt=salt, body=canonical_bytes(dict(draft.contents)))
    said: dict[str, JsonValue] = {
        "id": entry_id,
        "instance": instance,
        "sequence": head.sequence + 1,
        "at_us": round(draft.at * 1_000_000),
        "kind": draft.kind.value,
        "actor": draft.actor,
        "invocation": draft.invocation,
        "session": draft.session,
        "body": dict(draft.body),
        "contents": contents_digest(contents) if contents else "",
        "previous": head.previous,
    }
    entry = canonical_bytes(said)
    return LinkedEntry(
        id=entry_id,
        invocation=draft.invocation,
        about="" if draft.invocation else str(draft.body.get("mandate") or draft.session),
        entry=entry,
        head=following(head, entry, key=key),
        contents=contents,
    )


def following(head: ChainHead, entry: bytes, *, key: bytes) -> ChainHead:
    """The head after this entry; whoever checks the keyed chain walks it with this too."""
    return ChainHead(
        sequence=head.sequence + 1,
        previous=entry_hash(entry),
        mac=hmac.digest(key, head.mac + entry, "sha256"),
    )


def entry_hash(entry: bytes) -> str:
    """What the next entry calls `previous`: SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(entry).hexdigest()


def contents_digest(contents: Contents) -> str:
    """What the entry says of its contents; the salt keeps a short, erased value from guesses."""
    return content_digest(contents.salt + contents.body)

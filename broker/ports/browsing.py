"""What people look through: long lists by pages, and what pages tell about many things at once.

Nothing here is read on the way of a call. Each read is bounded, and takes a thread of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.calls import Session
from broker.core.labels import Labels
from broker.core.review_quality import HoldSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions, newest first, before a cursor (the last name of the page before)."""

    page_size: int
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSeen:
    """A session in a list.

    Attributes:
        session: with all of its words.
        decided: how often a call of it had which decision, by name of the effect.
        is_untrusted: whether something that strangers may have written was released to it.
    """

    session: Session
    decided: Mapping[str, int]
    is_untrusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """An agent among the newest calls of all.

    Attributes:
        calls: how many of those are its.
        first_at, last_at: of those, POSIX seconds.
    """

    agent: str
    calls: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSeen:
    """A document with its content; `at` is when it was first kept, POSIX seconds."""

    digest: str
    at: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The newest signed head of the log.

    Attributes:
        size: how many entries it covers.
        root: the Merkle root of those, base64.
        origin: whose log it is.
        key: what checks its signature, as a C2SP verifier key.
        note: the signed note itself.
        is_signed: whether the signature is by that key.
    """

    size: int
    root: str
    origin: str
    key: str
    note: str
    is_signed: bool


class Browsing(Protocol):
    """Reads for pages. Every method raises StoreUnavailable when the database cannot answer."""

    async def list_sessions(self, query: SessionQuery) -> Sequence[SessionSeen]:
        """A page of sessions."""
        ...

    async def released(self, session: str) -> Mapping[str, Labels]:
        """What was released to a session's model, in order: the labels by invocation."""
        ...

    async def holds_seen(self, *, since: float, holds_max: int) -> Sequence[HoldSeen]:
        """The newest holds that opened at or after `since`, newest first, with their reviews."""
        ...

    async def agents_seen(self, *, calls_max: int) -> Sequence[AgentSeen]:
        """The agents of the newest calls, by id."""
        ...

    async def documents_seen(self, kind: str, *, documents_max: int) -> Sequence[DocumentSeen]:
        """The newest documents of a kind, newest first."""
        ...

    async def log_head(self) -> LogHead | None:
        """The newest signed head; None where nothing was signed yet."""
        ...

    async def log_entries(
        self, *, before: int | None, page_size: int
    ) -> Sequence[Mapping[str, JsonValue]]:
        """A page of the log, newest first, without contents.

        Args:
            before: a leaf, which and after which nothing is told; None for the newest entries,
                those that no signed head covers yet included.
            page_size: how many at most, besides those that are not covered yet.

        Returns:
            Each as it was written, and `leaf_index`: its place among the leaves, or None.
        """
        ...

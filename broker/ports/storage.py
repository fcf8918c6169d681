"""Where everything durable is, and what is read of it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.calls import History, Invocation, Reached, Session, Usage
from broker.core.control import ControlRows
from broker.core.holds import Hold, Review
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.provenance.memory import Sighting
from broker.core.reports import KeptReport, ReportSeen
from broker.core.sign_ins import SignIn, StepUp
from broker.core.standing import NO_STANDING, Standing, StandingAsked
from broker.core.unit import Mandate, Unit

NO_ELDERS: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySeen:
    """An exclusive key as it stands: its version, and who has it (empty: free)."""

    version: int
    invocation: str
    state: InvocationState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterAsked:
    """A counter to read: its key, sliding window and what the manifest allows."""

    name: str
    key: str
    window_s: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What `gather` read of the store for one call.

    Attributes:
        reached: how often the principal has reached each target that was asked for, by tool.
        sightings: what was released to the session, in order.
        elders: the same of sessions that it goes on from, by name.
        standing: what the session was refused, where that was asked for.
    """

    usage: Mapping[str, Usage]
    history: tuple[History, ...]
    reached: Mapping[str, tuple[Reached, ...]] = field(default_factory=dict)
    sightings: tuple[Sighting, ...] = ()
    elders: Mapping[str, tuple[Sighting, ...]] = field(default_factory=dict)
    standing: Standing = NO_STANDING


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldQuery:
    """Which holds, oldest first, after a cursor (the last name of the page before)."""

    include_decided: bool = False
    page_size: int
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldHistoryQuery:
    """Which holds, newest first, before a cursor. Empty fields do not filter.

    Attributes:
        is_over: only those that are neither PENDING nor APPROVED.
    """

    tool: str = ""
    principal: str = ""
    agent: str = ""
    session: str = ""
    invocation: str = ""
    state: HoldState | None = None
    is_over: bool = False
    page_size: int
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationQuery:
    """Which invocations, newest first, before a cursor. Empty fields do not filter."""

    session: str = ""
    tool: str = ""
    principal: str = ""
    agent: str = ""
    state: InvocationState | None = None
    page_size: int
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """For `callbroker status`."""

    holds_pending: int
    running: int
    unknown: int
    audit_entries: int
    audit_entries_signed: int


class Store(Protocol):
    """The durable state. Every method raises StoreUnavailable when the database cannot answer."""

    async def commit(self, unit: Unit) -> None:
        """Write all of a unit, durably, or nothing.

        Raises:
            Conflict: a condition no longer holds; nothing of this unit was written.
            OutcomeUnstored: the commit's fate is not known.
        """
        ...

    async def control(self) -> ControlRows:
        """All control rows in force."""
        ...

    async def control_revision(self) -> int:
        """The revision that they are in force under."""
        ...

    async def document(self, digest: str) -> bytes | None:
        """Content by digest."""
        ...

    async def documents(self, kind: str) -> Sequence[tuple[str, float]]:
        """Digest and first time of all documents of a kind, newest first."""
        ...

    async def find_mandate(self, *, secret_digest: bytes = b"", name: str = "") -> Mandate | None:
        """A mandate by its secret's digest or its name, redeemed or not."""
        ...

    async def find_session(self, name: str) -> Session | None:
        """A session in any state, with all words so far."""
        ...

    async def session_of_mandate(self, mandate: str) -> Session | None:
        """The session that redeeming the mandate opened."""
        ...

    async def find_invocation(self, name: str) -> Invocation | None:
        """An invocation by name."""
        ...

    async def find_request(self, session: str, request_id: str) -> Invocation | None:
        """The invocation of a request id."""
        ...

    async def find_report(self, invocation: str) -> KeptReport | None:
        """The word that is kept on a call, or that it was closed."""
        ...

    async def list_reports(self, *, reports_max: int) -> Sequence[ReportSeen]:
        """On which calls words are kept, oldest first."""
        ...

    async def keys(self, keys: Sequence[str]) -> Mapping[str, KeySeen]:
        """Exclusive keys as they stand; one never seen has version 0 and is free."""
        ...

    async def seen(
        self,
        session: str,
        counters: Sequence[CounterAsked],
        *,
        now: float,
        after: int = 0,
        elders: Mapping[str, int] = NO_ELDERS,
        principal: str = "",
        targets: Collection[str] = (),
        standing: StandingAsked | None = None,
    ) -> Seen:
        """Counters, history, and what was released to the session after a position.

        Args:
            session: its name.
            counters: that are asked for.
            now: POSIX seconds.
            after: a position.
            elders: sessions that it goes on from, and a position of each.
            principal: its id.
            targets: digests of `core.reaching`.
            standing: what of the session's refusals is asked for.
        """
        ...

    async def find_hold(self, name: str) -> tuple[Hold, tuple[Review, ...]] | None:
        """A hold with all its reviews, oldest first."""
        ...

    async def list_holds(self, query: HoldQuery) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
        """A page of holds with their reviews."""
        ...

    async def hold_history(
        self, query: HoldHistoryQuery
    ) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
        """A page of holds in any state, newest first, with their reviews."""
        ...

    async def find_sign_in(self, digest: bytes) -> SignIn | None:
        """A sign-in by its secret's digest, however old."""
        ...

    async def find_step_up(self, sign_in: bytes, hold: str) -> StepUp | None:
        """What a sign-in has shown for a hold and not used, however old."""
        ...

    async def list_sign_ins(self) -> Sequence[SignIn]:
        """All sign-ins, newest first."""
        ...

    async def list_invocations(self, query: InvocationQuery) -> Sequence[Invocation]:
        """A page of invocations."""
        ...

    async def unfinished(self) -> Sequence[Invocation]:
        """Every invocation that is RUNNING, or HELD with an APPROVED hold."""
        ...

    async def overdue(self, *, now: float) -> Sequence[Hold]:
        """Holds whose time to be decided, or to be run, has passed."""
        ...

    async def open_holds_of(self, session: str) -> Sequence[Hold]:
        """PENDING and APPROVED holds of a session."""
        ...

    async def find_artefacts(
        self,
        session: str,
        names: Sequence[str],
    ) -> Mapping[str, Artefact]:
        """Those of these names that the session has; of any others nothing is said."""
        ...

    async def list_artefacts(self, session: str) -> Sequence[Artefact]:
        """All that the session has, oldest first."""
        ...

    async def artefact_content(self, session: str, name: str) -> bytes | None:
        """What is in an artefact of the session."""
        ...

    async def entries(self, invocation: str) -> Sequence[Mapping[str, JsonValue]]:
        """The audit entries of one invocation in order, with contents where not erased."""
        ...

    async def contents(self, invocation: str) -> Mapping[str, JsonValue]:
        """The latest decision's contents (arguments, facts, summary) of one invocation, or {}."""
        ...

    async def shadow_tallies(self, shadow: str) -> Mapping[str, bytes]:
        """What each broker has seen of a shadow, by the broker's name."""
        ...

    async def credential_uses(self) -> Mapping[str, float]:
        """When each credential was last used, by its name; none that never was."""
        ...

    async def counts(self) -> Counts:
        """What waits and how long the log is."""
        ...

    async def close(self) -> None:
        """Write what is queued and give up the database."""
        ...


class AuditLog(Protocol):
    """The log as a whole, for those who check it elsewhere."""

    def export(self, *, since: float, include_contents: bool) -> AsyncIterator[bytes]:
        """Whole JSON lines in order: a header, the entries at or after `since`, the signed heads.

        Args:
            since: POSIX seconds; 0 for all.
            include_contents: also what entries commit to, where it is not erased.
        """
        ...

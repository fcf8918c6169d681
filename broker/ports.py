"""What the use cases need of the world, as Protocols; adapters and fakes implement them.

One contract suite per port runs over the fake and over every real part. Every method that leaves
the process has a deadline, its own or one from `core.limits`.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, History, Invocation, Principal, Session, Usage
from broker.core.control import ControlRows
from broker.core.decision import Opinion
from broker.core.holds import Hold, Review
from broker.core.lifecycle import InvocationState
from broker.core.manifest import ToolManifest
from broker.core.unit import Mandate, Unit

Clock = Callable[[], float]
"""POSIX seconds, UTC."""

IdFactory = Callable[[], str]
"""A new UUIDv7 (RFC 9562) in its usual text form."""


class DecisionPoint(Protocol):
    """Answers with one policy revision."""

    @property
    def revision(self) -> str:
        """Digest of the bundle that answers."""
        ...

    async def evaluate(
        self,
        question: Mapping[str, JsonValue],
        *,
        deadline_s: float,
    ) -> Opinion:
        """What policy says of a call.

        Whatever is late, erring, undefined, malformed or of another revision is an Opinion with
        one DENY verdict.

        Raises:
            PolicyUnavailable: it cannot be asked at all; nothing was decided.
        """
        ...

    async def close(self) -> None:
        """Give up what it holds."""
        ...


class Policies(Protocol):
    """The decision points that are warm, by revision."""

    def at(self, revision: str) -> DecisionPoint:
        """The one of this revision.

        Raises:
            PolicyUnavailable: none is ready.
        """
        ...


class PolicyRefused(ValueError):
    """These sources, or this kept bundle, cannot decide.

    Attributes:
        findings: one sentence each, naming file and line where they are known.
    """

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings: tuple[str, ...] = tuple(findings)
        super().__init__("; ".join(self.findings))


class Bundle(Protocol):
    """One checked revision of policy."""

    @property
    def revision(self) -> str:
        """Digest of its sources."""
        ...

    @property
    def families(self) -> tuple[str, ...]:
        """Its rule families, sorted."""
        ...

    def to_bytes(self) -> bytes:
        """The form in which it is kept for ever."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOrder:
    """What a bundle is to be built of.

    Attributes:
        files: an operator's own tree, laid over the shipped library; path to content.
        preset: the name of the defaults.
        previous_families: those of the revision that this one follows.
        dropped: those of them that are to go.
    """

    files: Mapping[str, bytes]
    preset: str
    previous_families: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class PolicyRoom(Policies, Protocol):
    """Builds and checks bundles, and starts, warms and ends the decision points that answer."""

    async def build(self, order: PolicyOrder, *, tools: Iterable[ToolManifest]) -> Bundle:
        """Check sources under these tools, and build them.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: nothing can be checked now.
        """
        ...

    async def recheck(self, kept: bytes, *, tools: Iterable[ToolManifest]) -> Bundle:
        """Read a kept bundle and check it again, under these tools.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: nothing can be checked now.
        """
        ...

    def read(self, kept: bytes) -> Bundle:
        """Read a kept bundle, without checking more than that it is whole.

        Raises:
            PolicyRefused: it is not.
        """
        ...

    async def prepare(self, bundle: Bundle) -> None:
        """Return once `at(bundle.revision)` is warm; at once where it is already.

        Raises:
            PolicyUnavailable: it does not start; nothing is left behind.
        """
        ...

    async def retire(self, revision: str) -> None:
        """End the one of this revision, if there is one, once what it was asked is answered."""
        ...


class Facts(Protocol):
    """Looks things up in systems of record."""

    async def gather(
        self,
        manifest: ToolManifest,
        *,
        arguments: Mapping[str, JsonValue],
        principal: Principal,
        session: Session,
    ) -> Mapping[str, Fact]:
        """Every fact that the manifest declares, by name. A failing one is an error value."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenCall:
    """What a runner is handed; exactly this was decided on.

    Attributes:
        fencing_token: names this attempt.
        deadline_s: seconds that the tool has.
    """

    invocation: Invocation
    manifest: ToolManifest
    principal: Principal
    fencing_token: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The tool answered; the bytes are not yet checked."""

    result_json: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nothing took effect: the tool says so, or the runner proves it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """It may have taken effect; `why` is for the log."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverStarted:
    """The runner proves that the tool's code never began."""

    why: str


Outcome = Succeeded | Failed | Lost | NeverStarted


class Slot(Protocol):
    """A place at a runner, kept free for one call."""

    async def run(self, call: FrozenCall) -> Outcome:
        """Have the call carried out. Returns by the call's deadline; never raises for the tool."""
        ...

    def release(self) -> None:
        """Give the place back unused, or after use. Twice is harmless."""
        ...


class Runner(Protocol):
    """Has calls carried out."""

    async def reserve(self, manifest: ToolManifest, *, wait_s: float) -> Slot:
        """Keep a place free.

        Raises:
            RunnerUnavailable: nobody implements the tool, or nobody is free in time.
        """
        ...


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
    """What `gather` read of the store for one call."""

    usage: Mapping[str, Usage]
    history: tuple[History, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldQuery:
    """Which holds, oldest first, after a cursor (the last name of the page before)."""

    include_decided: bool = False
    page_size: int
    after: str = ""


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

    async def keys(self, keys: Sequence[str]) -> Mapping[str, KeySeen]:
        """Exclusive keys as they stand; one never seen has version 0 and is free."""
        ...

    async def seen(self, session: str, counters: Sequence[CounterAsked], *, now: float) -> Seen:
        """Counters and history for one call."""
        ...

    async def find_hold(self, name: str) -> tuple[Hold, tuple[Review, ...]] | None:
        """A hold with all its reviews, oldest first."""
        ...

    async def list_holds(self, query: HoldQuery) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
        """A page of holds with their reviews."""
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

    async def entries(self, invocation: str) -> Sequence[Mapping[str, JsonValue]]:
        """The audit entries of one invocation in order, with contents where not erased."""
        ...

    async def contents(self, invocation: str) -> Mapping[str, JsonValue]:
        """The latest decision's contents (arguments, facts, summary) of one invocation, or {}."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A connected worker, for `callbroker status`."""

    name: str
    tools: tuple[str, ...]
    free: int
    slots: int

"""A unit of work is a value: conditions, rows and audit entries that commit together or not at all.

The enforcer says what must still be true and what becomes true; the store's one writer applies many
units in one transaction, each as a savepoint. A change whose condition no longer holds takes its
own unit out alone and is reported as a `Conflict` by name.
"""

from dataclasses import dataclass
from enum import StrEnum

from broker.core import limits
from broker.core.artefacts import Stored
from broker.core.audit import EntryDraft
from broker.core.brokers import BeatBroker, DropBroker
from broker.core.calls import Invocation, Person, Session
from broker.core.holds import Hold, Review
from broker.core.labels import Labels
from broker.core.leases import KeepLease
from broker.core.notices import AddNotices, DropNotices, MoveNotices
from broker.core.provenance.memory import MEMORY_BYTES_MAX
from broker.core.reports import Reporting
from broker.core.retention import Erasing
from broker.core.sign_ins import SigningIn
from broker.core.standing import (
    AddRejection,
    CountDenial,
    RequireRoomForHold,
    RequireStanding,
)


class ConflictOn(StrEnum):
    """Which condition no longer held."""

    CONTROL = "control"
    SESSION = "session"
    REQUEST_ID = "request_id"
    INVOCATION = "invocation"
    HOLD = "hold"
    REVIEW = "review"
    KEY = "key"
    COUNTER = "counter"
    MANDATE = "mandate"
    ARTEFACT = "artefact"
    MEMORY = "memory"
    SIGN_IN = "sign_in"
    STEP_UP = "step_up"
    STANDING = "standing"
    HOLDS = "holds"
    REPORT = "report"


class Conflict(Exception):
    """Something that the unit had read has moved; nothing of the unit was written."""

    def __init__(self, on: ConflictOn) -> None:
        super().__init__(on)
        self.on = on


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireControl:
    """The control revision is still this one."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchSession:
    """The session is open and unexpired at `at`; its idle end moves to `idle_expires_at`."""

    name: str
    at: float
    idle_expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireSession:
    """The session is neither closed nor revoked, and its absolute end is after `at`.

    Unlike `TouchSession` this lets an idle one be: what was asked in time waits for people longer.
    """

    name: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddInvocation:
    """A new invocation; its (session, request id) must be new."""

    invocation: Invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveInvocation:
    """An invocation that still has `from_etag` becomes this one (whose etag is higher).

    Where `owner` is set it must still be the row's owner.
    """

    invocation: Invocation
    from_etag: int
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowInvocation:
    """A HELD invocation that still has `from_etag` holds less; what was asked first is kept."""

    invocation: Invocation
    from_etag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddHold:
    """A new hold."""

    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveHold:
    """A hold that still has `from_etag` becomes this one (whose etag is higher)."""

    hold: Hold
    from_etag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReview:
    """One Person's say; a Person says it once per hold while it counts (unique)."""

    review: Review


@dataclass(frozen=True, slots=True, kw_only=True)
class UncountReviews:
    """What has counted of a hold's reviews does not any more: of one Person, or of everybody."""

    hold: str
    person: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeKey:
    """An exclusive key that is free and still has `version` is taken for the invocation."""

    key: str
    version: int
    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeKeys:
    """All keys of the invocation are free again, and their versions rise."""

    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """A counter that still has `version` counts `amount` more for the invocation; version rises."""

    key: str
    version: int
    invocation: str
    amount: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReservations:
    """What the invocation reserved is given back. Only where nothing was handed over."""

    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountHistory:
    """One more decision with this effect on this tool in this session."""

    session: str
    tool: str
    effect: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CountReached:
    """The principal has reached a target by a tool once more.

    `target` is a digest of `core.reaching`. Only with the change that says SUCCEEDED.
    """

    principal: str
    target: str
    tool: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """A host's order for one session; redeemed once."""

    name: str
    secret_digest: bytes
    host: str
    session: Session
    redeem_by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMandate:
    """A new mandate; `mandate.session` is the session that redeeming it opens."""

    mandate: Mandate


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemMandate:
    """A mandate that is unredeemed, unrevoked and in time opens its session. Once."""

    name: str
    at: float
    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMandate:
    """A mandate that is not redeemed cannot be any more."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendWords:
    """Words are added to the mandate, so to its session; it still has `after`, if that is given."""

    mandate: str
    words: tuple[str, ...]
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """An open session ends as CLOSED or REVOKED."""

    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutControl:
    """A control row comes into force in place of any of the same kind and key; the revision rises.

    Attributes:
        kind: such as `tool`, `policy`, `grant`: those of `control_rows`.
        digest: names the content; for `tool` and `policy` also a document's digest.
        body: JSON, RFC 8785.
    """

    kind: str
    key: str
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropControl:
    """A control row goes out of force; the revision rises. Absent: Conflict on control."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDocument:
    """Content by digest, kept for ever; the same digest twice is no conflict."""

    digest: str
    kind: str
    at: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AddArtefact:
    """A new file of a session that has room for it: so many in all, of so many bytes together."""

    stored: Stored
    count_max: int = limits.ARTEFACTS_OF_SESSION_MAX
    bytes_max: int = limits.ARTEFACT_BYTES_OF_SESSION_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class PutShadowTally:
    """What this broker has seen of a shadow, in place of what it had said of it before."""

    shadow: str
    broker: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropShadowTallies:
    """What was seen of every shadow is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSighting:
    """What is released to a session's model is remembered, next in order.

    Of what goes beyond `bytes_max` of a session only the labels are kept.
    """

    session: str
    invocation: str
    labels: Labels
    content: bytes
    bytes_max: int = MEMORY_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireMemory:
    """Nothing was released to the session since `position`."""

    session: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteUses:
    """When credentials were last used, by name; in the order of names."""

    uses: tuple[tuple[str, float], ...]


Change = (
    RequireControl
    | TouchSession
    | RequireSession
    | AddInvocation
    | MoveInvocation
    | NarrowInvocation
    | KeepLease
    | BeatBroker
    | DropBroker
    | AddHold
    | MoveHold
    | AddReview
    | UncountReviews
    | TakeKey
    | FreeKeys
    | Reserve
    | ReleaseReservations
    | CountHistory
    | CountReached
    | CountDenial
    | AddRejection
    | RequireStanding
    | RequireRoomForHold
    | AddMandate
    | RedeemMandate
    | RevokeMandate
    | AppendWords
    | EndSession
    | PutControl
    | DropControl
    | AddDocument
    | AddArtefact
    | PutShadowTally
    | DropShadowTallies
    | AddSighting
    | RequireMemory
    | SigningIn
    | AddNotices
    | MoveNotices
    | DropNotices
    | Erasing
    | Reporting
    | NoteUses
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Changes and what the log says of them; all or nothing, in this order."""

    changes: tuple[Change, ...]
    entries: tuple[EntryDraft, ...]

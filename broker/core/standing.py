"""What a session has been refused counts against what it asks next, at whatever broker it asks.

Too many denials in a window, and every further call of the session waits for a person, whatever
rules say of it. A call that a reviewer rejected is not asked again: one of the same tool that
reaches all that it reached is DENIED, and the model is told what the reviewer said. Whom a call
reaches is compared loosely (`core.provenance.folding`, `decoding`), since here a likeness costs a
person's time and a difference would cost their word.

Only what an agent asks is judged by this. What people have approved, made less of, or are yet to
decide on stays theirs.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.canonical import canonical_bytes
from broker.core.decision import STAGE_FLOOR, Decision, Effect, HoldTerms, Verdict
from broker.core.limits import DENIALS_MAX, DENIALS_WINDOW_S
from broker.core.manifest import ToolManifest
from broker.core.provenance.decoding import undone
from broker.core.provenance.folding import fold
from broker.core.provenance.leaves import Leaf, leaves_of
from broker.core.provenance.memory import exact

REJECTED_BEFORE: Final = "REJECTED_BEFORE"
TOO_MANY_DENIALS: Final = "TOO_MANY_DENIALS"
NOT_ITS_DOING: Final = frozenset(
    {"CONTENDED", "EXCLUSIVE_BUSY", "EXCLUSIVE_UNSETTLED", "FROZEN", "PROFILE_UNAVAILABLE"}
)
"""Why a call is denied for what others do: such a denial says nothing of whoever asked."""

_DECODED_CHARACTERS_MAX: Final = 2_000
_FORMS_MAX: Final = 8
_MARK_DIGITS: Final = 32
_ELEMENT: Final = re.compile(r"/[0-9]+(?=/|$)")

Marks = tuple[tuple[str, ...], ...]
"""What a call reaches: for each of it, digests of all that it may be taken for, itself first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialBounds:
    """How much a session may be refused.

    Attributes:
        denials_max: in a window; as many as this, and further calls wait for a person.
        window_s: its length, seconds, up to now.
    """

    denials_max: int = DENIALS_MAX
    window_s: float = DENIALS_WINDOW_S


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAsked:
    """Of whom it is read: a session and those that it goes on from, for one tool.

    Attributes:
        since: denials after this count, POSIX seconds.
    """

    session: str
    elders: tuple[str, ...] = ()
    tool: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A call that a reviewer rejected.

    Attributes:
        invocation: its name.
        reached: what it reached, once for each form that it had (a reviewer may have narrowed it).
        message: what the model was told then; empty where that is erased.
    """

    invocation: str
    reached: tuple[Marks, ...]
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a session stands: its denials in the window, and what was rejected of the tool."""

    denials: int = 0
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRejection:
    """A reviewer rejected a call of this tool, in the very unit that says so."""

    session: str
    tool: str
    invocation: str
    reached: tuple[Marks, ...]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CountDenial:
    """One more call of the session was denied; of these the newest `kept_max` are kept."""

    session: str
    invocation: str
    at: float
    kept_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireStanding:
    """As many calls of the tool were rejected as were seen, and denials are below what is borne.

    Attributes:
        rejections: that were seen.
        denials_below: None where the call waits for a person because of them.
    """

    asked: StandingAsked
    rejections: int
    denials_below: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireRoomForHold:
    """Fewer calls of the agent, and of the principal, wait for people than may."""

    agent: str
    of_agent_max: int
    principal: str
    of_principal_max: int


def marks(manifest: ToolManifest, call: ToolCall) -> Marks:
    """What a call reaches, to be known again by.

    Its targets, wherever among them each stands; where none is declared or given, all of its
    arguments; where it has no argument, the call itself.

    Args:
        manifest: of its tool.
        call: whose arguments the tool's schema accepts.
    """
    leaves = list(leaves_of(call.arguments, manifest.arguments))
    below = tuple(f"{pointer}/" for pointer in manifest.targets or ())
    targets = [leaf for leaf in leaves if below and f"{leaf.pointer}/".startswith(below)]
    found = dict.fromkeys(_of(targets)) or dict.fromkeys(_of(leaves, is_placed=True))
    return tuple(found) or ((_mark(call.digest.encode()),),)


def remembered(invocation: Invocation, held_marks: tuple[Marks, ...], *, at: float) -> AddRejection:
    """What is kept of a rejected call.

    Args:
        invocation: that was rejected.
        held_marks: what it reaches, as its hold says; of a hold that says nothing, the call itself.
        at: POSIX seconds.
    """
    itself = ((_mark(invocation.call.digest.encode()),),)
    return AddRejection(
        session=invocation.session,
        tool=invocation.call.tool,
        invocation=invocation.name,
        reached=held_marks or (itself,),
        at=at,
    )


def marks_of(written: Iterable[Iterable[Iterable[str]]]) -> tuple[Marks, ...]:
    """What a call reached, for each form that it had, of JSON."""
    return tuple(tuple(tuple(each) for each in marks) for marks in written)


def asked_of(caller: Caller, call: ToolCall, denials: DenialBounds, *, now: float) -> StandingAsked:
    """What is to be read for a call."""
    return StandingAsked(
        session=caller.session.name,
        elders=tuple(name for name, _ in caller.session.ancestors),
        tool=call.tool,
        since=now - denials.window_s,
    )


def asked_again(standing: Standing, manifest: ToolManifest, call: ToolCall) -> tuple[Verdict, ...]:
    """A denial, where the call reaches all that a rejected one of the tool reached.

    Args:
        standing: read for this session and tool.
        manifest: of the tool.
        call: that is asked now.
    """
    if not standing.rejections:
        return ()
    here = {mark for each in marks(manifest, call) for mark in each}
    here.add(_mark(call.digest.encode()))
    for rejection in standing.rejections:
        if any(_reaches_all(here, was) for was in rejection.reached):
            return (_rejected(rejection),)
    return ()


def too_many(standing: Standing, bounds: DenialBounds, terms: HoldTerms) -> tuple[Verdict, ...]:
    """A hold, where the session was denied too often of late."""
    if standing.denials < bounds.denials_max:
        return ()
    return (
        Verdict(
            effect=Effect.HOLD,
            stage=STAGE_FLOOR,
            code=TOO_MANY_DENIALS,
            message="Too many calls of this session were denied of late; a person decides.",
            terms=terms,
        ),
    )


def required(
    asked: StandingAsked | None, seen: Standing, bounds: DenialBounds
) -> RequireStanding | None:
    """What must still be so when a call that is not denied is recorded.

    Args:
        asked: of whom it was read; None where it did not matter.
        seen: what was read.
        bounds: what is borne.
    """
    if asked is None:
        return None
    waits = seen.denials >= bounds.denials_max
    return RequireStanding(
        asked=asked,
        rejections=len(seen.rejections),
        denials_below=None if waits else bounds.denials_max,
    )


def counts(decision: Decision) -> bool:
    """Whether a denial is held against whoever asked."""
    return decision.effect is Effect.DENY and any(
        verdict.code not in NOT_ITS_DOING for verdict in decision.reasons
    )


def _rejected(rejection: Rejection) -> Verdict:
    said = f" The reviewer said: {rejection.message}" if rejection.message else ""
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_FLOOR,
        code=REJECTED_BEFORE,
        message=f"A reviewer rejected this before, as {rejection.invocation}.",
        told=f"A reviewer has rejected a call like this one. Do not ask for it again.{said}",
    )


def _reaches_all(here: set[str], was: Marks) -> bool:
    return bool(was) and all(not here.isdisjoint(each) for each in was)


def _of(leaves: Iterable[Leaf], *, is_placed: bool = False) -> Iterable[tuple[str, ...]]:
    """Of each value, and of each name that the model chose on the way to it.

    `is_placed`: it counts where it stands, whichever element of an array it is.
    """
    for leaf in leaves:
        place = _ELEMENT.sub("/*", leaf.pointer).encode() + b"\0" if is_placed else b""
        for name in leaf.names:
            yield _forms(name, place)
        if not leaf.is_empty:
            yield _forms(_text(leaf.value), place)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else canonical_bytes(value).decode()


def _forms(text: str, place: bytes) -> tuple[str, ...]:
    written = undone(text) if len(text) <= _DECODED_CHARACTERS_MAX else (text,)
    found = dict.fromkeys(fold(form) or exact(form).encode() for form in (text, *written))
    return tuple(_mark(place + form) for form in found)[:_FORMS_MAX]


def _mark(form: bytes) -> str:
    return hashlib.sha256(b"rejected\0" + form).hexdigest()[:_MARK_DIGITS]


NO_STANDING: Final = Standing()

"""A call has five ends for its caller, and each can be told to the model without raising.

Succeeded, Refused, Failed, Held, Unknown. Refused is DENIED, REJECTED, EXPIRED or CANCELLED:
nothing ran. Failed means that nothing took effect. Held waits for a person or, once taken up, for
the tool; it alone is not an end. Unknown may have taken effect and is never repeated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from broker.sdk.encoding import from_json
from broker.sdk.errors import Defect
from broker.sdk.files import artefact_from
from broker.sdk.narrowed import difference
from broker.sdk.values import Artefact
from broker.v1 import types_pb2

_STATE: Final = types_pb2.Invocation.State
_NOTHING_RAN_STATES: Final = frozenset(
    {
        _STATE.STATE_DENIED,
        _STATE.STATE_REJECTED,
        _STATE.STATE_EXPIRED,
        _STATE.STATE_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why, as far as the caller may know.

    Attributes:
        code: UPPER_SNAKE and stable.
        message: one sentence, safe to show to the model.
        pointer: JSON Pointer of the argument at fault; empty where it is none alone.
    """

    code: str
    message: str
    pointer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every outcome tells.

    Attributes:
        name: `invocations/{uuid}`; `broker.invocation(name)` finds it from any process.
        state: the life cycle's word, such as `DENIED`.
        code: the refusal's or the tool's own failure code; empty on success.
        message: one sentence; a reviewer's words where one rejected.
        result: what the tool returned, parsed; None unless succeeded and released.
        result_json: the same as the broker's canonical JSON.
        result_withheld: True where there is a result that the caller may not see.
        digest: of tool and arguments, as decided on.
        artefacts: files that the tool left; `session.read` and `session.save` get them.
        arguments: what it is, or was, carried out with.
        asked: the arguments as they were asked, where a reviewer made less of them; else None.
        reported_by: `agent` where how it ended is this process's own word alone; else empty.
    """

    name: str
    tool: str
    state: str
    code: str = ""
    message: str = ""
    reasons: tuple[Reason, ...] = ()
    result: Any = None
    result_json: str = ""
    result_withheld: bool = False
    session: str = ""
    request_id: str = ""
    digest: str = ""
    artefacts: tuple[Artefact, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] | None = None
    reported_by: str = ""

    def _told(self, text: str, *, is_approved: bool = True) -> str:
        """The text; before it what a reviewer made less, where one did."""
        if self.asked is None:
            return text
        done = "approved less than was asked" if is_approved else "made this less than was asked"
        return f"A reviewer {done}: {difference(self.asked, self.arguments)}.\n{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded(Record):
    """It ran."""

    def for_model(self) -> str:
        """The result as JSON, or that it is withheld; and the names of files that it left."""
        if self.result_withheld:
            return self._told("Succeeded. The result is withheld; do not ask for it again.")
        told = [self.result_json or "Succeeded. There is no result."]
        told += [f"File {a.name}: {a.file_name}, {a.size} bytes." for a in self.artefacts]
        if self.code:  # there is a result, and something beside it was kept back
            told.append(_sentence(self.message))
        return self._told("\n".join(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Record):
    """It did not run and will not."""

    def for_model(self) -> str:
        """Why, and that asking again does not help."""
        if self.code == "ARGUMENTS_INVALID":  # the one refusal that a model can mend by itself
            return f"Refused: {_sentence(self.message)} Nothing ran; correct the arguments."
        told = self.message or _SILENT_REFUSALS.get(self.state, "The call is not allowed.")
        who = "Rejected by a reviewer" if self.state == "REJECTED" else "Refused"
        return f"{who}: {_sentence(told)} Do not ask for it again; tell the user."


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Record):
    """It took no effect: the tool says so, the runner proves it, or the tool only reads."""

    def for_model(self) -> str:
        """The tool's own words."""
        told = self.message or "The tool could not do it."
        return self._told(f"Failed: {_sentence(told)} Nothing took effect.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Record):
    """It may have taken effect; a person must look. Never repeat it."""

    def for_model(self) -> str:
        """That nobody knows, and not to repeat it."""
        return self._told(
            "Unknown: this may have happened, and it is not known whether it did. "
            "Do not repeat it; tell the user that a person will look."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Record):
    """It waits: for people while `state` is HELD, for the tool once it is RUNNING.

    AsyncHeld and SyncHeld add `wait` and `cancel`.
    """

    def for_model(self) -> str:
        """That it waits, and not to ask again."""
        if self.state == "RUNNING":
            return self._told(
                "Running: this has begun and has not ended yet. "
                "Do not ask for it again; tell the user."
            )
        told = self.message or "A person decides."
        return self._told(
            f"Held: {_sentence(told)} It has not run. "
            "Do not ask for it again; tell the user that it waits for a person.",
            is_approved=False,
        )


class AsyncLine(Protocol):
    """What a held call needs of its client."""

    async def follow(self, held: "AsyncHeld", timeout_s: float) -> "Outcome":
        """Waits for another state."""

    async def cancel(self, name: str) -> "Outcome":
        """Takes the call back."""


class SyncLine(Protocol):
    """The same, blocking."""

    def follow(self, held: "SyncHeld", timeout_s: float) -> "SyncOutcome":
        """Waits for another state."""

    def cancel(self, name: str) -> "SyncOutcome":
        """Takes the call back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncHeld(Held):
    """A held call of the async client."""

    line: AsyncLine = field(repr=False, compare=False)

    async def wait(self, *, timeout_s: float = 900.0) -> "Outcome":
        """Follows the call until it has ended.

        Args:
            timeout_s: 0 asks once.

        Returns:
            The end, or the call as it last was, still Held, when the time is over: also where the
            broker was away for all of it.
        """
        return await self.line.follow(self, timeout_s)

    async def cancel(self) -> "Outcome":
        """Takes it back.

        Raises:
            IllegalTransition: it has been handed over, or has ended.
        """
        return await self.line.cancel(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncHeld(Held):
    """A held call of the sync client."""

    line: SyncLine = field(repr=False, compare=False)

    def wait(self, *, timeout_s: float = 900.0) -> "SyncOutcome":
        """Blocks until the call has ended; see `AsyncHeld.wait`."""
        return self.line.follow(self, timeout_s)

    def cancel(self) -> "SyncOutcome":
        """Takes it back; see `AsyncHeld.cancel`."""
        return self.line.cancel(self.name)


Ended: TypeAlias = Succeeded | Refused | Failed | Unknown
Outcome: TypeAlias = Ended | AsyncHeld
SyncOutcome: TypeAlias = Ended | SyncHeld

H = TypeVar("H", bound=Held)


def outcome_from(invocation: types_pb2.Invocation, held: Callable[..., H]) -> Ended | H:
    """The outcome that a record stands for.

    Args:
        invocation: as the broker sent it.
        held: makes the Held of the client at hand from a Record's fields.

    Raises:
        Defect: the broker sent what no broker sends.
    """
    fields = _fields(invocation)
    match invocation.state:
        case _STATE.STATE_HELD | _STATE.STATE_RUNNING:
            return held(**fields)
        case _STATE.STATE_SUCCEEDED:
            return Succeeded(**fields)
        case _STATE.STATE_FAILED:
            return Failed(**fields)
        case state if state in _NOTHING_RAN_STATES:
            return Refused(**fields)
        case _:  # a state of a later release: the careful reading
            return Unknown(**fields)


def _fields(invocation: types_pb2.Invocation) -> dict[str, Any]:
    try:
        result_json = invocation.result_json.decode()
        result = from_json(invocation.result_json) if result_json else None
    except ValueError as broken:
        raise Defect(
            f"{invocation.name} succeeded, but its result is not JSON; do not repeat it."
        ) from broken
    try:
        arguments = from_json(invocation.arguments_json or b"{}")
        asked_json = invocation.asked_arguments_json
        asked = from_json(asked_json) if asked_json else None
    except ValueError as broken:
        raise Defect(
            f"{invocation.name} is {_state_name(invocation.state)}, but its arguments are not JSON."
        ) from broken
    return {
        "name": invocation.name,
        "tool": invocation.tool,
        "state": _state_name(invocation.state),
        "code": invocation.code,
        "message": invocation.message or " ".join(r.message for r in invocation.reasons),
        "reasons": tuple(
            Reason(code=r.code, message=r.message, pointer=r.pointer) for r in invocation.reasons
        ),
        "result": result,
        "result_json": result_json,
        "result_withheld": invocation.result_withheld,
        "session": invocation.session,
        "request_id": invocation.request_id,
        "digest": invocation.digest,
        "artefacts": tuple(artefact_from(message) for message in invocation.artefacts),
        "arguments": arguments,
        "asked": asked,
        "reported_by": invocation.reported_by,
    }


def _state_name(state: int) -> str:
    known = types_pb2.Invocation.State.DESCRIPTOR.values_by_number.get(state)
    return known.name.removeprefix("STATE_") if known else "UNKNOWN"


_SILENT_REFUSALS: Final = {
    "REJECTED": "A person said no.",
    "EXPIRED": "Nobody decided in time.",
    "CANCELLED": "It was taken back.",
}


def _sentence(text: str) -> str:
    """The text as a sentence, so that what follows it reads as another."""
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."

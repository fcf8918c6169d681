"""Who has calls carried out, what they are handed and how it can end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.calls import Invocation, Principal
from broker.core.manifest import ToolManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFile:
    """A file that goes to a tool or comes from one: a plain name, and what is in it."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenCall:
    """What a runner is handed; exactly this was decided on.

    Attributes:
        fencing_token: names this attempt.
        deadline_s: seconds that the tool has.
        files: the artefacts that its arguments name, for a runner that hands files over.
        traceparent: W3C Trace Context of the span that tells of it; empty where none does. For
            workers alone.
    """

    invocation: Invocation
    manifest: ToolManifest
    principal: Principal
    fencing_token: str
    deadline_s: float
    files: tuple[CarriedFile, ...] = ()
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The tool answered; the bytes are not yet checked.

    Attributes:
        files: what it left, for a runner that takes files back; not yet checked either.
        trail: what the runner saw of it, for the audit entry: where it ran, under what, and every
            request that it made outside.
    """

    result_json: bytes
    files: tuple[CarriedFile, ...] = ()
    trail: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nothing took effect: the tool says so, or the runner proves it. `trail` as of Succeeded."""

    code: str
    message: str
    trail: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """It may have taken effect; `why` is for the log. `trail` as of Succeeded."""

    why: str
    trail: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverStarted:
    """The runner proves that the tool's code never began."""

    why: str


Outcome = Succeeded | Failed | Lost | NeverStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose call a place is for: names it before it is recorded, and after."""

    session: str
    request_id: str
    agent: str = field(default="", compare=False)


class Slot(Protocol):
    """A place at a runner, kept free for one call."""

    async def run(self, call: FrozenCall) -> Outcome:
        """Have the call carried out. Returns by the call's deadline; never raises for the tool."""
        ...

    def release(self) -> None:
        """Give the place back unused, or after use. Twice is harmless."""
        ...

    def acknowledge(self) -> None:
        """The outcome is recorded: whoever gave it may forget it."""
        ...


class Runner(Protocol):
    """Has calls carried out."""

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str,
        wait_s: float,
        asker: Asker | None = None,
    ) -> Slot:
        """Keep a place free.

        Args:
            manifest: the tool's revision that was decided on.
            profile: digest of the sandbox profile that was decided on; empty for runners that
                have none.
            wait_s: seconds to wait for a place.
            asker: whose call it is for; None where the broker itself asks.

        Raises:
            RunnerUnavailable: nobody implements the tool, or nobody is free in time.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A connected worker, for `callbroker status`.

    Attributes:
        without_preview: its tools whose manifests name a preview that it does not offer.
    """

    name: str
    tools: tuple[str, ...]
    free: int
    slots: int
    without_preview: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxNodeView:
    """A sandbox node that is configured, for `callbroker status`.

    Attributes:
        problem: why it is not ready, where it is not.
        warm: containers that wait for a call.
        room: containers that it could start beside those that there are.
        profiles: those that it can give.
    """

    address: str
    is_ready: bool
    problem: str
    warm: int
    room: int
    profiles: tuple[str, ...]

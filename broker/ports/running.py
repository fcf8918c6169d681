"""Who has calls carried out, what they are handed and how it can end."""

from dataclasses import dataclass
from typing import Protocol

from broker.core.calls import Invocation, Principal
from broker.core.manifest import ToolManifest


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

    def acknowledge(self) -> None:
        """The outcome is recorded: whoever gave it may forget it."""
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
class WorkerView:
    """A connected worker, for `callbroker status`."""

    name: str
    tools: tuple[str, ...]
    free: int
    slots: int

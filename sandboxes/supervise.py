"""One call in one container: it is handed over, and however it ends, one result says so.

What was seen is a value, and what it means is decided from that alone. The clock that counts is the
node's: neither the container nor the engine can make a call last longer than it may.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sandboxes.answers import check_json
from sandboxes.engine import ContainerState, Engine, EngineRefused, EngineUnavailable, NotThere
from sandboxes.entry.frames import Answer, Caps, File, FrameBroken, Question, encode_question
from sandboxes.hearing import Answered, Broke, Ended, Heard
from sandboxes.profile import Profile
from sandboxes.slot import Slot

EXIT_WITHIN_S: Final = 1.0  # of the end of its output
KILLED_WITHIN_S: Final = 5.0
CPU_SIGNAL_EXIT: Final = 128 + 24  # SIGXCPU, as a shell reports it
KILL_SIGNAL_EXIT: Final = 128 + 9
_CPU_SHARE_SURE: Final = 0.9


class Ending(Enum):
    """How a call ended; as `Ending` of the protocol."""

    ANSWERED = auto()
    TOOL_FAILED = auto()
    BROKEN = auto()
    KILLED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrder:
    """What one call is.

    Attributes:
        input_json: one JSON object.
        deadline_s: from hand-over to result.
        subject: picks credentials that are kept per subject.
    """

    input_json: bytes
    files: Sequence[File] = ()
    deadline_s: float
    subject: str = ""


class Stopped(Enum):
    """Why the node stopped listening before the container had ended."""

    DEADLINE = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of one call.

    Attributes:
        heard: what the container said last; None where it was stopped first.
        state: how it was when it had ended, where that was seen.
        engine_lost: why nobody could see how it ended; empty where somebody did.
        took_s: from hand-over.
        lived_s: from the container's start.
    """

    heard: Heard | None = None
    stopped: Stopped | None = None
    state: ContainerState | None = None
    engine_lost: str = ""
    took_s: float
    lived_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended; fields as `Result` of the protocol."""

    ending: Ending
    code: str = ""
    message: str = ""
    result_json: bytes = b""
    files: Sequence[File] = ()
    exit_code: int | None = None
    out_of_memory: bool = False
    took_s: float = 0.0


async def supervise(
    slot: Slot, call: CallOrder, *, engine: Engine, cancelled: asyncio.Event
) -> Outcome:
    """Hand a call over and wait for how it ends.

    A container that answered may still run: whoever called ends the slot. Any other has been killed
    or has ended by itself, as far as the engine says.

    Args:
        slot: claimed.
        call: already within the profile's bounds.
        engine: that has the container.
        cancelled: set to have it killed.
    """
    seen = await _observe(slot, call, engine=engine, cancelled=cancelled)
    return decide(seen, slot.order.profile, deadline_s=call.deadline_s)


async def _observe(
    slot: Slot, call: CallOrder, *, engine: Engine, cancelled: asyncio.Event
) -> Observation:
    loop = asyncio.get_running_loop()
    profile = slot.order.profile
    caps = Caps(
        output_bytes_max=profile.output_bytes_max,
        files_max=profile.files_max,
        files_bytes_max=profile.files_bytes_max,
    )
    nonce = secrets.token_hex(16)
    question = encode_question(
        Question(nonce=nonce, input_json=call.input_json, files=tuple(call.files))
    )
    interruptions = engine.interruptions
    started_at_s = loop.time()
    asking = asyncio.create_task(slot.ask(question, nonce=nonce, caps=caps))
    cancelling = asyncio.create_task(cancelled.wait())
    try:
        await asyncio.wait(
            (slot.outcome, cancelling),
            timeout=call.deadline_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        heard = slot.outcome.result() if slot.outcome.done() else None
        stopped = None
        if heard is None:
            stopped = Stopped.CANCELLED if cancelling.done() else Stopped.DEADLINE
        took_s = loop.time() - started_at_s
        state, lost = None, ""
        if not isinstance(heard, Answered):
            state, lost = await _last_state(slot, engine, ended=isinstance(heard, Ended))
            if engine.interruptions != interruptions:
                state, lost = None, "The container engine was lost while it ran."
            slot.last_state = state
    finally:
        cancelling.cancel()
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError, EngineUnavailable):
            await asking
    return Observation(
        heard=heard,
        stopped=stopped,
        state=state,
        engine_lost=lost,
        took_s=took_s,
        lived_s=loop.time() - slot.started_at_s,
    )


async def _last_state(
    slot: Slot, engine: Engine, *, ended: bool
) -> tuple[ContainerState | None, str]:
    try:
        if ended:
            state = await engine.ended(slot.container, within_s=EXIT_WITHIN_S)
            if state is not None:
                await engine.ping()  # or it was the engine that ended it, on its own way out
                return state, ""
        slot.hang_up()  # output that nobody reads would keep the engine from it
        await engine.kill(slot.container)
        return await engine.ended(slot.container, within_s=KILLED_WITHIN_S), ""
    except NotThere:
        return None, "The container was gone when it was looked for."
    except (EngineUnavailable, EngineRefused) as lost:
        return None, str(lost)


def decide(seen: Observation, profile: Profile, *, deadline_s: float) -> Outcome:
    """What was seen, as a result."""
    if isinstance(seen.heard, Answered):
        return _of_answer(seen.heard.answer, profile, took_s=seen.took_s)
    if seen.engine_lost:
        return Outcome(
            ending=Ending.UNKNOWN,
            code="ENGINE_LOST",
            message=f"Nobody saw how it ended. {seen.engine_lost}",
            took_s=seen.took_s,
        )
    ending, code, message = _how(seen, profile, deadline_s)
    return Outcome(
        ending=ending,
        code=code,
        message=message,
        exit_code=None if seen.state is None or seen.state.running else seen.state.exit_code,
        out_of_memory=seen.state is not None and seen.state.out_of_memory,
        took_s=seen.took_s,
    )


def _how(seen: Observation, profile: Profile, deadline_s: float) -> tuple[Ending, str, str]:
    match seen.heard, seen.stopped:
        case Broke(code=code, message=message), _:
            return Ending.KILLED, code, message
        case _, Stopped.DEADLINE:
            return Ending.KILLED, "TOOL_TIMED_OUT", f"It did not answer within {deadline_s:g} s."
        case _, Stopped.CANCELLED:
            return Ending.KILLED, "CANCELLED", "It was killed, because that was asked for."
        case _:
            return _why_it_ended(seen, profile)


def _why_it_ended(seen: Observation, profile: Profile) -> tuple[Ending, str, str]:
    state = seen.state
    if state is None or state.running:
        return Ending.BROKEN, "TOOL_DIED", "It closed its output without an answer."
    if state.out_of_memory:
        told = f"It used up its memory of {profile.memory_bytes >> 20} MiB."
        return Ending.BROKEN, "TOOL_OUT_OF_MEMORY", told
    # The kernel's SIGKILL at RLIMIT_CPU looks like anybody's; only a process that can have used up
    # its time is said to have done so.
    used_at_most_s = seen.lived_s * profile.cpus
    if state.exit_code == CPU_SIGNAL_EXIT or (
        state.exit_code == KILL_SIGNAL_EXIT
        and used_at_most_s >= profile.cpu_s_max * _CPU_SHARE_SURE
    ):
        told = f"It used up its {profile.cpu_s_max} s of processor time."
        return Ending.BROKEN, "TOOL_CPU_EXHAUSTED", told
    told = f"It ended with exit code {state.exit_code} without an answer."
    return Ending.BROKEN, "TOOL_DIED", told


def _of_answer(answer: Answer, profile: Profile, *, took_s: float) -> Outcome:
    if answer.failure is not None:
        code, message = answer.failure
        return Outcome(ending=Ending.TOOL_FAILED, code=code, message=message, took_s=took_s)
    try:
        check_json(answer.result_json, depth_max=profile.depth_max)
    except FrameBroken as broken:
        return Outcome(ending=Ending.BROKEN, code=broken.code, message=str(broken), took_s=took_s)
    return Outcome(
        ending=Ending.ANSWERED,
        result_json=answer.result_json,
        files=answer.files,
        took_s=took_s,
    )

"""What an outcome makes of an invocation: FAILED means that nothing took effect, or it is UNKNOWN.

A tool that only reads and gives no answer has failed: there is nothing that a person could look
for. In a sandbox that may be anybody's code, and there only what the node has seen counts.
A result that may not be released is withheld, and the files beside it too; the call has SUCCEEDED
all the same, because it took effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from broker.core.arguments import JsonValue
from broker.core.calls import Invocation
from broker.core.control import RegisteredTool
from broker.core.inspection import (
    RESULT_INVALID,
    Released,
    Withheld,
    failure,
    inspect,
    inspect_files,
    plain,
)
from broker.core.labels import Labels
from broker.core.lifecycle import InvocationState
from broker.core.manifest import ToolManifest
from broker.core.plan import Run
from broker.core.previews import PREVIEW_LOST
from broker.ports import CarriedFile, Failed, Lost, NeverStarted, Outcome, Succeeded

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt leaves its invocation.

    Attributes:
        withheld: files of which nobody gets any.
        trail: what the runner saw of it.
        labels: of all that the tool gave; None where it gave nothing.
    """

    state: InvocationState
    code: str = ""
    message: str = ""
    result: bytes | None = None
    files: tuple[CarriedFile, ...] = ()
    withheld: tuple[CarriedFile, ...] = ()
    why: str = ""
    trail: Mapping[str, JsonValue] = field(default_factory=dict)
    labels: Labels | None = None


NEVER_HANDED_OVER = Ended(
    state=InvocationState.CANCELLED,
    code="NOT_STARTED",
    message="The call was stopped before anything ran.",
    why="whether it was recorded was not known, so it was not handed over",
)


INTERRUPTED = Ended(
    state=InvocationState.UNKNOWN,
    code="OUTCOME_UNKNOWN",
    message="It may have happened. Do not repeat it; a person must look.",
    why="the broker stopped while the call was under way",
)


PREVIEW_INTERRUPTED = Ended(
    state=InvocationState.FAILED,
    code=PREVIEW_LOST,
    message="The tool did not say what the call would change.",
    why="the broker stopped while the tool was asked",
)


READING_LOST = Ended(
    state=InvocationState.FAILED,
    code="READING_LOST",
    message="No answer came. The tool only reads, so nothing took effect; it may be asked again.",
)


def interrupted(invocation: Invocation) -> Ended:
    """What becomes of a call that was under way when its broker stopped.

    What only asks beforehand has changed nothing: nobody need look.
    """
    return PREVIEW_INTERRUPTED if invocation.is_preview else INTERRUPTED


def again(outcome: Outcome) -> Outcome:
    """What the outcome of a later attempt says of the call, the earlier attempts included.

    An earlier one may have had its effect, so only a success proves anything: of a tool that is
    idempotent, twice is as once. That this attempt failed, or never began, does not.
    """
    match outcome:
        case Failed(code=code):
            return Lost(why=f"a later attempt failed: {plain(code)}", trail=outcome.trail)
        case NeverStarted(why=why):
            return Lost(why=f"a later attempt never began: {why}")
        case Succeeded() | Lost():
            return outcome


def conclude(
    outcome: Outcome, tool: RegisteredTool, plan: Run, labels: Labels, *, is_asking: bool = False
) -> Ended:
    """What an outcome makes of an invocation.

    Args:
        outcome: what the runner says.
        tool: as it was decided on.
        plan: with the duties on its result.
        labels: of all that the tool gave, its words of failure too.
        is_asking: the broker itself asked; what is lost of that has changed nothing.
    """
    ended = _concluded(outcome, tool, plan, is_asking=is_asking)
    if isinstance(outcome, NeverStarted):
        return ended
    given = labels if isinstance(outcome, Succeeded | Failed) else None
    return replace(ended, trail=outcome.trail, labels=given)


def _concluded(outcome: Outcome, tool: RegisteredTool, plan: Run, *, is_asking: bool) -> Ended:
    match outcome:
        case Succeeded(result_json=answer, files=files):
            looked = _inspected(answer, tool, plan)
            if isinstance(looked, Withheld):
                return _withheld(looked, None, files)
            refused = _files_inspected(files, tool, plan)
            if refused is not None:
                return _withheld(refused, looked.result, files)
            return Ended(state=InvocationState.SUCCEEDED, result=looked.result, files=files)
        case Failed(code=code, message=message):
            code, message = failure(code, message)
            return Ended(state=InvocationState.FAILED, code=code, message=message)
        case Lost(why=why):
            return replace(_lost(tool.manifest, is_asking=is_asking), why=why)
        case NeverStarted(why=why):
            return replace(NEVER_HANDED_OVER, why=why)


def _lost(manifest: ToolManifest, *, is_asking: bool) -> Ended:
    if is_asking:
        return PREVIEW_INTERRUPTED
    only_reads = manifest.behaviour.read_only and manifest.sandbox is None
    return READING_LOST if only_reads else INTERRUPTED


def _inspected(answer: bytes, tool: RegisteredTool, plan: Run) -> Released | Withheld:
    try:
        return inspect(answer, schema=tool.result, obligations=plan.obligations)
    except Exception:  # noqa: BLE001 - the effect is there, whatever is wrong with its result
        _log.exception("result_not_inspected", tool=tool.manifest.name)
        return Withheld(
            code=RESULT_INVALID,
            message="The call ran. Its result is withheld: it could not be checked.",
        )


def _files_inspected(
    files: tuple[CarriedFile, ...], tool: RegisteredTool, plan: Run
) -> Withheld | None:
    sandbox = tool.manifest.sandbox
    return inspect_files(
        [(file.name, len(file.content)) for file in files],
        count_max=sandbox.files_out_max if sandbox else 0,
        bytes_max=sandbox.files_out_bytes_max if sandbox else 0,
        obligations=plan.obligations,
    )


def _withheld(why: Withheld, result: bytes | None, files: tuple[CarriedFile, ...]) -> Ended:
    return Ended(
        state=InvocationState.SUCCEEDED,
        code=why.code,
        message=why.message,
        result=result,
        withheld=files,
    )

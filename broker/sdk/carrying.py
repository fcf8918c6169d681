"""One attempt becomes one answer: by its deadline, whatever the tool's code does.

A tool that is late is cancelled if it can be, and answered as unknown at the deadline either way.
A plain function waits for a thread; if none comes free in time, it never began, and that is said.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC
from typing import Any, Final

from broker.sdk.encoding import from_json
from broker.sdk.tool_function import ToolFailed, ToolFunction
from broker.sdk.values import Call
from broker.v1 import worker_pb2

LOG: Final = logging.getLogger("callbroker.worker")
_TEXT_CHARACTERS_MAX: Final = 2_000
# What would end the process, or cannot live in a future: a tool's code ends its own call alone.
_LEAVING: Final = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration)

# Cancelled at their deadline and not over yet: the loop itself holds tasks only weakly.
_late: set["asyncio.Future[Any]"] = set()


async def carry_out(
    tool: ToolFunction[..., Any],
    handover: worker_pb2.Handover,
    *,
    now: Callable[[], float],
    threads: ThreadPoolExecutor,
) -> worker_pb2.WorkerAnswer:
    """Runs a tool's function on a frozen call.

    Args:
        tool: the function.
        handover: as the broker sent it.
        now: POSIX seconds.
        threads: for plain functions.
    """
    left_s = handover.deadline.ToDatetime(UTC).timestamp() - now()
    if left_s <= 0:
        return not_started(handover, "The call arrived after its deadline.")
    try:
        body = tool.bound(call_from(handover), from_json(handover.arguments_json))
    except (TypeError, ValueError, AttributeError) as unfit:
        LOG.warning("%s does not fit its function: %s", handover.invocation, unfit)
        return not_started(handover, f"The arguments do not fit the function: {unfit}")
    running, thread = _begin(tool, body, threads)
    try:
        await asyncio.wait({running}, timeout=left_s)
    except asyncio.CancelledError:  # the worker stops
        _leave(running)
        raise
    if running.done():
        return _ended(tool, handover, running)
    if thread is not None and thread.cancel():
        return not_started(handover, "No thread came free before the deadline.")
    _leave(running)
    LOG.error("%s of %s is past its deadline", handover.invocation, handover.tool)
    return _unknown(handover, "The tool did not end before the deadline.")


def call_from(handover: worker_pb2.Handover) -> Call:
    """What the tool is told of its call."""
    return Call(
        invocation=handover.invocation,
        tool=handover.tool,
        tool_revision=handover.tool_revision,
        digest=handover.digest,
        principal=handover.principal,
        principal_groups=tuple(handover.principal_groups),
        agent=handover.agent,
        session=handover.session,
        deadline=handover.deadline.ToDatetime(UTC),
        attempt=handover.attempt,
        traceparent=handover.traceparent,
    )


def not_started(handover: worker_pb2.Handover, why: str) -> worker_pb2.WorkerAnswer:
    """The answer of an attempt that never reached the tool's code."""
    return worker_pb2.WorkerAnswer(
        invocation=handover.invocation,
        fencing_token=handover.fencing_token,
        not_started=_text(why),
    )


def declined(handover: worker_pb2.Handover, why: str) -> worker_pb2.WorkerAnswer:
    """As `not_started`, and another worker may be asked."""
    return worker_pb2.WorkerAnswer(
        invocation=handover.invocation, fencing_token=handover.fencing_token, declined=_text(why)
    )


def _begin(
    tool: ToolFunction[..., Any], body: Callable[[], Any], threads: ThreadPoolExecutor
) -> tuple["asyncio.Future[Any]", "Future[Any] | None"]:
    if tool.is_async:
        return asyncio.ensure_future(_contained(body)), None
    thread = threads.submit(_contained_plain, body)
    return asyncio.wrap_future(thread), thread


async def _contained(body: Callable[[], Any]) -> Any:
    try:
        return await body()
    except _LEAVING as leaving:
        raise RuntimeError(f"The tool raised {type(leaving).__name__}.") from leaving


def _contained_plain(body: Callable[[], Any]) -> Any:
    try:
        return body()
    except _LEAVING as leaving:
        raise RuntimeError(f"The tool raised {type(leaving).__name__}.") from leaving


def _leave(running: "asyncio.Future[Any]") -> None:
    _late.add(running)
    running.add_done_callback(_retrieve)
    running.cancel()


def _ended(
    tool: ToolFunction[..., Any], handover: worker_pb2.Handover, running: "asyncio.Future[Any]"
) -> worker_pb2.WorkerAnswer:
    answer = worker_pb2.WorkerAnswer(
        invocation=handover.invocation, fencing_token=handover.fencing_token
    )
    try:
        answer.result_json = tool.result_json(running.result())
    except ToolFailed as failed:
        answer.failure.code = failed.code
        answer.failure.message = _text(failed.message)
    except asyncio.CancelledError:
        return _unknown(handover, "The tool's task was cancelled.")
    except Exception as error:  # whatever it is, it may have taken effect
        LOG.exception("%s of %s ended in an error", handover.invocation, handover.tool)
        return _unknown(handover, f"{type(error).__name__}: {error}")
    return answer


def _unknown(handover: worker_pb2.Handover, why: str) -> worker_pb2.WorkerAnswer:
    return worker_pb2.WorkerAnswer(
        invocation=handover.invocation,
        fencing_token=handover.fencing_token,
        unknown=_text(why),
    )


def _retrieve(late: "asyncio.Future[Any]") -> None:
    _late.discard(late)
    if not late.cancelled() and (error := late.exception()) is not None:
        LOG.error("a tool that was past its deadline ended in an error", exc_info=error)


def _text(text: str) -> str:
    """Text that a message can carry: no lone surrogates, and not without end."""
    return text[:_TEXT_CHARACTERS_MAX].encode(errors="replace").decode()

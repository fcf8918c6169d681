"""A tool that cannot move is executed here, on a permit, once, and how it ended is said once.

The permit is this process's alone: another one that repeats the request gets none, so that a crash
leaves the call UNKNOWN and never executes it twice. Whatever goes wrong once the permit was taken
is no reason to try again. Of an error that the tool raises the broker learns the class; its text
stays here. `broker.sdk.permits_sync` is the same, blocking.
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from broker.sdk.encoding import from_json
from broker.sdk.errors import BrokerError, LimitExceeded, OutcomeUnstored, Unavailable
from broker.sdk.line import Line
from broker.sdk.methods import INVOKE, REPORT_OUTCOME
from broker.sdk.outcomes import Outcome
from broker.sdk.patience import INVOKE_DEADLINE_S, WATCH_S, pauses
from broker.sdk.tool_function import ToolFailed, result_json
from broker.v1 import broker_pb2

LOG: Final = logging.getLogger("callbroker.permits")
_TAKER_BYTES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a permit is for.

    Attributes:
        name: `invocations/{uuid}`; good as an idempotency key.
        arguments: exactly what is to be executed, as it was decided on.
        digest: of tool and arguments.
        valid_s: how long it counts, from when it came.
    """

    name: str
    tool: str
    arguments: Mapping[str, Any]
    digest: str
    valid_s: float
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit(Granted):
    """To be executed by whoever has it: once, and then told. Made by `session.permit`.

    As a context, it tells the broker the class of an error that leaves the block before anything
    was told, and lets the error pass.
    """

    line: Line = field(repr=False, compare=False)
    _told: list[Outcome] = field(default_factory=list, repr=False, compare=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not self._told:
            await self.raised(error)

    async def succeeded(self, result: object = None) -> Outcome:
        """Tells that it took effect.

        Args:
            result: JSON, or dataclasses of it.

        Returns:
            The call as it is recorded; its result is what of it was released.

        Raises:
            TypeError: the result is not JSON; nothing was told.
            OutcomeUnstored: the broker may not have it. Do not execute it again.
        """
        return await self.tell(succeeded_request(self, result))

    async def failed(self, code: str, message: str) -> Outcome:
        """Tells that nothing took effect, and why; the model reads it. Raises as `succeeded`."""
        return await self.tell(failed_request(self, ToolFailed(code, message)))

    async def raised(self, error: BaseException) -> Outcome:
        """Tells that the tool raised: the class alone. Raises as `succeeded`.

        Unless the tool only reads it may have had its effect, and the call is UNKNOWN.
        """
        return await self.tell(raised_request(self, error))

    async def tell(self, request: broker_pb2.ReportOutcomeRequest) -> Outcome:
        """Tells the broker; raises as `succeeded`."""
        try:
            answer = await self.line.ask(REPORT_OUTCOME, request)
        except BrokerError as error:
            raise unstored(self, error) from error
        outcome = self.line.outcome(answer.invocation)
        self._told.append(outcome)
        return outcome


async def take(line: Line, request: broker_pb2.InvokeRequest, *, wait_s: float) -> Permit | Outcome:
    """Asks for a call to be decided, and for its permit where it may run.

    Args:
        line: to the broker.
        request: with a taker.
        wait_s: how long to wait for people, where it is held.

    Returns:
        The permit; or the call as it is where there is none.

    Raises:
        BrokerError: there is no answer, and this process has no permit.
    """
    answer = await line.ask(INVOKE, request, deadline_s=INVOKE_DEADLINE_S)
    found = _found(line, answer)
    if is_waiting(found) and wait_s > 0:
        return await _watched(line, found, request, wait_s)
    return found


async def run_local(permit: Permit, function: Callable[..., Any]) -> Outcome:
    """Executes a call and tells how it ended.

    Args:
        permit: for it.
        function: given the arguments by name; a plain one gets a thread, a coroutine is cancelled
            at the permit's end.

    Returns:
        The call as it is recorded.

    Raises:
        OutcomeUnstored: it was executed, and the broker may not know.
    """
    try:
        async with asyncio.timeout(permit.valid_s):
            if inspect.iscoroutinefunction(function):
                result = await function(**permit.arguments)
            else:
                result = await asyncio.to_thread(lambda: function(**permit.arguments))
        request = succeeded_request(permit, result)
    except ToolFailed as failed:
        return await permit.failed(failed.code, failed.message)
    except Exception as error:
        LOG.exception("%s of %s ended in an error", permit.name, permit.tool)
        return await permit.raised(error)
    return await permit.tell(request)


async def _watched(
    line: Line, held: Permit | Outcome, asked: broker_pb2.InvokeRequest, wait_s: float
) -> Permit | Outcome:
    """What becomes of a held call: this process waits to execute it, and so it is released."""
    end = line.clock.monotonic() + wait_s
    request = broker_pb2.WatchInvocationRequest(
        name=held.name, permit_taker=asked.permit_taker, session_secret=asked.session_secret
    )
    found: Permit | Outcome = held
    for pause_s in pauses():
        left_s = end - line.clock.monotonic()
        if left_s <= 0 or not is_waiting(found):
            break
        deadline_s = min(left_s, WATCH_S)
        try:
            async with aclosing(line.watch(request, deadline_s=deadline_s)) as answers:
                async for answer in answers:
                    found = _found(line, answer)
                    if not is_waiting(found):
                        return found
        except (Unavailable, LimitExceeded):
            await line.clock.sleep(min(pause_s, left_s))
    return found


def _found(
    line: Line, answer: broker_pb2.InvokeResponse | broker_pb2.WatchInvocationResponse
) -> Permit | Outcome:
    if answer.HasField("permit"):
        return Permit(**granted(answer), line=line)
    return line.outcome(answer.invocation)


def new_taker() -> str:
    """Random text of this process, for one call."""
    return secrets.token_urlsafe(_TAKER_BYTES)


def is_waiting(found: object) -> bool:
    """Whether people decide it yet."""
    return getattr(found, "state", "") == "HELD"


def granted(
    answer: broker_pb2.InvokeResponse | broker_pb2.WatchInvocationResponse,
) -> dict[str, Any]:
    """The fields of a Granted."""
    invocation, permit = answer.invocation, answer.permit
    return {
        "name": invocation.name,
        "tool": invocation.tool,
        "arguments": from_json(invocation.arguments_json or b"{}"),
        "digest": permit.digest,
        "valid_s": permit.valid_for.ToTimedelta().total_seconds(),
        "token": permit.token,
    }


def succeeded_request(permit: Granted, result: object) -> broker_pb2.ReportOutcomeRequest:
    """It took effect.

    Raises:
        TypeError, ValueError: the result is not JSON, or too much of it.
    """
    return broker_pb2.ReportOutcomeRequest(
        name=permit.name, permit_token=permit.token, result_json=result_json(result)
    )


def failed_request(permit: Granted, failed: ToolFailed) -> broker_pb2.ReportOutcomeRequest:
    """Nothing took effect."""
    failure = broker_pb2.ReportedFailure(
        code=failed.code, message=failed.message.encode(errors="replace").decode()
    )
    return broker_pb2.ReportOutcomeRequest(
        name=permit.name, permit_token=permit.token, failure=failure
    )


def raised_request(permit: Granted, error: BaseException) -> broker_pb2.ReportOutcomeRequest:
    """The tool raised."""
    return broker_pb2.ReportOutcomeRequest(
        name=permit.name, permit_token=permit.token, raised=type(error).__name__
    )


def unstored(permit: Granted, error: BrokerError) -> OutcomeUnstored:
    """That it was executed and not told: no reason to do it again, whatever the reason was."""
    return OutcomeUnstored(
        f"{permit.name} was executed here, and the broker may not know how it ended ({error})."
        " Do not execute it again.",
        reason=OutcomeUnstored.reason,
    )

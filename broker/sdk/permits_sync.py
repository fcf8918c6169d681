"""The blocking twin of `broker.sdk.permits`: the same names and promises, word for word."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from broker.sdk.errors import BrokerError, LimitExceeded, Unavailable
from broker.sdk.methods import INVOKE, REPORT_OUTCOME
from broker.sdk.outcomes import SyncOutcome
from broker.sdk.patience import INVOKE_DEADLINE_S, WATCH_S, pauses
from broker.sdk.permits import (
    LOG,
    Granted,
    failed_request,
    granted,
    is_waiting,
    raised_request,
    succeeded_request,
    unstored,
)
from broker.sdk.tool_function import ToolFailed
from broker.v1 import broker_pb2

if TYPE_CHECKING:
    from broker.sdk.sync import SyncLine


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPermit(Granted):
    """To be executed by whoever has it: once, and then told. See `Permit`."""

    line: "SyncLine" = field(repr=False, compare=False)
    _told: list[SyncOutcome] = field(default_factory=list, repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not self._told:
            self.raised(error)

    def succeeded(self, result: object = None) -> SyncOutcome:
        """Tells that it took effect. See `Permit.succeeded`."""
        return self.tell(succeeded_request(self, result))

    def failed(self, code: str, message: str) -> SyncOutcome:
        """Tells that nothing took effect, and why. See `Permit.failed`."""
        return self.tell(failed_request(self, ToolFailed(code, message)))

    def raised(self, error: BaseException) -> SyncOutcome:
        """Tells that the tool raised: the class alone. See `Permit.raised`."""
        return self.tell(raised_request(self, error))

    def tell(self, request: broker_pb2.ReportOutcomeRequest) -> SyncOutcome:
        """Tells the broker. See `Permit.tell`."""
        try:
            answer = self.line.ask(REPORT_OUTCOME, request)
        except BrokerError as error:
            raise unstored(self, error) from error
        outcome = self.line.outcome(answer.invocation)
        self._told.append(outcome)
        return outcome


def take(
    line: "SyncLine", request: broker_pb2.InvokeRequest, *, wait_s: float
) -> SyncPermit | SyncOutcome:
    """Asks for a call to be decided, and for its permit where it may run. See `permits.take`."""
    answer = line.ask(INVOKE, request, deadline_s=INVOKE_DEADLINE_S)
    found = _found(line, answer)
    if is_waiting(found) and wait_s > 0:
        return _watched(line, found, request, wait_s)
    return found


def run_local(permit: SyncPermit, function: Callable[..., Any]) -> SyncOutcome:
    """Executes a call and tells how it ended; nothing cancels it. See `permits.run_local`."""
    try:
        request = succeeded_request(permit, function(**permit.arguments))
    except ToolFailed as failed:
        return permit.failed(failed.code, failed.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, it may have taken effect
        LOG.exception("%s of %s ended in an error", permit.name, permit.tool)
        return permit.raised(error)
    return permit.tell(request)


def _watched(
    line: "SyncLine", held: SyncPermit | SyncOutcome, asked: broker_pb2.InvokeRequest, wait_s: float
) -> SyncPermit | SyncOutcome:
    end = line.clock.monotonic() + wait_s
    request = broker_pb2.WatchInvocationRequest(
        name=held.name, permit_taker=asked.permit_taker, session_secret=asked.session_secret
    )
    found = held
    for pause_s in pauses():
        left_s = end - line.clock.monotonic()
        if left_s <= 0 or not is_waiting(found):
            break
        deadline_s = min(left_s, WATCH_S)
        try:
            with closing(line.watch(request, deadline_s=deadline_s)) as answers:
                for answer in answers:
                    found = _found(line, answer)
                    if not is_waiting(found):
                        return found
        except (Unavailable, LimitExceeded):
            line.clock.sleep(min(pause_s, left_s))
    return found


def _found(
    line: "SyncLine", answer: broker_pb2.InvokeResponse | broker_pb2.WatchInvocationResponse
) -> SyncPermit | SyncOutcome:
    if answer.HasField("permit"):
        return SyncPermit(**granted(answer), line=line)
    return line.outcome(answer.invocation)

"""A lost connection repeats the same request, never a new one; who waits gets an answer or its end.

What may be repeated is repeated a few times, briefly, and only where there was no answer; the last
error is then the caller's. `nothing_ran` of that error is true only if it was true of each attempt.
`SyncLine` in `broker.sdk.sync` is the same, blocking.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from broker.sdk.errors import DEADLINE_EXCEEDED, LimitExceeded, Unavailable
from broker.sdk.methods import (
    CANCEL_INVOCATION,
    GET_INVOCATION,
    WATCH_INVOCATION,
    A,
    Method,
    Q,
)
from broker.sdk.outcomes import AsyncHeld, Held, Outcome, outcome_from
from broker.sdk.patience import (
    REPETITIONS_MAX,
    RPC_DEADLINE_S,
    TRANSFER_DEADLINE_S,
    WATCH_S,
    Clock,
    pauses,
)
from broker.sdk.transport import Transport
from broker.v1 import broker_pb2, types_pb2


class Line:
    """A transport with patience."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock

    @property
    def clock(self) -> Clock:
        """By which it has patience."""
        return self._clock

    def outcome(self, invocation: types_pb2.Invocation) -> Outcome:
        """The outcome that a record stands for, with its Held on this line."""
        return outcome_from(invocation, lambda **record: AsyncHeld(line=self, **record))

    async def ask(
        self, method: Method[Q, A], request: Q, *, deadline_s: float = RPC_DEADLINE_S
    ) -> A:
        """Calls, and calls again where that is safe; the deadline is for all attempts together.

        Raises:
            BrokerError: there is no answer.
        """
        end = self._clock.monotonic() + deadline_s
        repetitions_left = REPETITIONS_MAX if method.repeatable else 0
        nothing_ran = True
        for pause_s in pauses():
            left_s = end - self._clock.monotonic()
            try:
                return await self._transport.call(method, request, deadline_s=left_s)
            except Unavailable as error:
                nothing_ran = error.nothing_ran = nothing_ran and error.nothing_ran
                if not repetitions_left or self._clock.monotonic() + pause_s >= end:
                    raise
            repetitions_left -= 1
            await self._clock.sleep(pause_s)
        raise AssertionError

    async def send(self, method: Method[Q, A], requests: Iterable[Q]) -> A:
        """Sends a file, once: a second try would be a second file.

        Raises:
            BrokerError: there is no answer.
        """
        return await self._transport.send(method, requests, deadline_s=TRANSFER_DEADLINE_S)

    def receive(self, method: Method[Q, A], request: Q) -> AsyncGenerator[A, None]:
        """What comes of a file; raises as `send`."""
        return self._transport.receive(method, request, deadline_s=TRANSFER_DEADLINE_S)

    async def watch(
        self, request: broker_pb2.WatchInvocationRequest, *, deadline_s: float
    ) -> AsyncGenerator[broker_pb2.WatchInvocationResponse, None]:
        """A call now and at each change, by one stream; the deadline is its ordinary end.

        Raises:
            BrokerError: it broke or ended before; a watcher pauses, and asks again.
        """
        answers = self._transport.receive(WATCH_INVOCATION, request, deadline_s=deadline_s)
        try:
            async with aclosing(answers):
                async for answer in answers:
                    yield answer
        except Unavailable as error:
            if error.reason == DEADLINE_EXCEEDED:
                return
            raise
        raise Unavailable("The stream ended early.")

    async def now(self, name: str, *, deadline_s: float = RPC_DEADLINE_S) -> Outcome:
        """Where a call is."""
        request = broker_pb2.GetInvocationRequest(name=name)
        answer = await self.ask(GET_INVOCATION, request, deadline_s=deadline_s)
        return self.outcome(answer.invocation)

    async def cancel(self, name: str) -> Outcome:
        """Takes a call back."""
        request = broker_pb2.CancelInvocationRequest(name=name)
        return self.outcome((await self.ask(CANCEL_INVOCATION, request)).invocation)

    async def follow(self, held: AsyncHeld, timeout_s: float) -> Outcome:
        """Waits for the end by stream, and by asking wherever the stream breaks."""
        if timeout_s <= 0:
            return await self.now(held.name)
        end = self._clock.monotonic() + timeout_s
        latest: Outcome = held
        pause = pauses()
        while isinstance(latest, Held) and (left_s := end - self._clock.monotonic()) > 0:
            try:
                latest = await self._watched(held.name, latest, min(left_s, WATCH_S))
                pause = pauses()
            except (Unavailable, LimitExceeded):
                await self._clock.sleep(min(next(pause), left_s))
                latest = await self._polled(held.name, latest, end)
        return latest

    async def _watched(self, name: str, latest: Outcome, deadline_s: float) -> Outcome:
        """What the stream last said."""
        request = broker_pb2.WatchInvocationRequest(name=name)
        async with aclosing(self.watch(request, deadline_s=deadline_s)) as answers:
            async for answer in answers:
                latest = self.outcome(answer.invocation)
                if not isinstance(latest, Held):
                    break
        return latest

    async def _polled(self, name: str, latest: Outcome, end: float) -> Outcome:
        left_s = end - self._clock.monotonic()
        try:
            return await self.now(name, deadline_s=left_s) if left_s > 0 else latest
        except Unavailable:
            return latest

"""For tests of applications and of tools: the real clients on a scripted broker, without a network.

Time in it is its own: waiting 900 s for a person who never answers takes none.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

from broker.sdk.client import Broker
from broker.sdk.encoding import arguments_json, from_json, to_json
from broker.sdk.errors import DEADLINE_EXCEEDED, Unavailable
from broker.sdk.methods import A, Method, Q
from broker.sdk.script import Script, ScriptedCall, State, Step
from broker.sdk.sync import SyncBroker
from broker.sdk.tool_function import result_json
from broker.sdk.values import Call
from broker.sdk.worker import Worker
from broker.v1 import broker_pb2

__all__ = [
    "ScriptedBroker",
    "ScriptedCall",
    "Step",
    "failed",
    "invoke_tool",
    "narrowed",
    "permitted",
    "refused",
    "rejected",
    "succeeded",
    "unknown",
]


def succeeded(result: Any = None, *, files: Mapping[str, bytes] | None = None) -> Step:
    """It runs.

    Args:
        result: JSON, or a function of the arguments that returns JSON.
        files: what it leaves, by file name.
    """
    return Step(state=State.STATE_SUCCEEDED, result=result, files=files or {})


def narrowed(
    less: Mapping[str, Any], result: Any = None, *, then: Step | None = None, message: str = ""
) -> Step:
    """A reviewer makes it less than was asked, and says yes to that: it runs so.

    Args:
        less: new values by JSON Pointer into the arguments, such as `{"/amount_minor": 4000}`.
        result: as of `succeeded`; a function is given the arguments that run.
        then: in place of a result, what becomes of it once it waits again for a yes to exactly
            that, as it does with a broker.
        message: what the rule says meanwhile.
    """
    if then is None:
        return Step(state=State.STATE_SUCCEEDED, result=result, less=less)
    return Step(state=State.STATE_HELD, code="NARROWED", message=message, less=less, then=then)


def refused(code: str, message: str) -> Step:
    """Policy says no."""
    return Step(state=State.STATE_DENIED, code=code, message=message)


def rejected(reason: str) -> Step:
    """A reviewer says no."""
    return Step(state=State.STATE_REJECTED, code="REJECTED", message=reason)


def failed(code: str, message: str) -> Step:
    """The tool says that nothing took effect."""
    return Step(state=State.STATE_FAILED, code=code, message=message)


def permitted() -> Step:
    """It may run, in the process that asked: `session.run_local` and `session.permit`."""
    return Step(state=State.STATE_RUNNING, has_permit=True)


def unknown() -> Step:
    """It may have taken effect."""
    return Step(state=State.STATE_UNKNOWN)


class ScriptedBroker(Broker):
    """A Broker that answers by script; use it wherever `connect()` would be.

    A tool's steps are used in the order in which they were given, the last one again and again; a
    tool without any is refused. Request ids count as they do with a broker.

    Attributes:
        sync: the blocking client on the same script.
    """

    def __init__(self) -> None:
        self._script = Script()
        clock = _Clock()
        super().__init__(_Scripted(self._script, clock), clock=_AsyncClock(clock))
        self.sync = SyncBroker(_SyncScripted(self._script, clock), clock=clock)

    @property
    def calls(self) -> list[ScriptedCall]:
        """What was asked for, first to last; the same request id counts once."""
        return self._script.calls

    @property
    def words(self) -> list[str]:
        """What the host said that the user typed."""
        return self._script.words

    def offer(
        self,
        tool: str,
        *,
        description: str = "",
        arguments_schema: Mapping[str, Any] | None = None,
        read_only: bool = False,
    ) -> Self:
        """Says more of a tool to list_tools."""
        self._script.offers[tool] = broker_pb2.Tool(
            name=tool,
            description=description,
            arguments_schema_json=to_json(arguments_schema or {}, what="arguments_schema"),
            read_only=read_only,
        )
        return self

    def answer(self, tool: str, *steps: Step, succeeded: Any = None) -> Self:
        """Adds steps: each call of the tool takes one.

        Args:
            tool: its name.
            *steps: what becomes of each call, in order.
            succeeded: without steps, the result; or a function of the arguments that returns it.
        """
        one = Step(state=State.STATE_SUCCEEDED, result=succeeded)
        self._script.steps.setdefault(tool, []).extend(steps or (one,))
        return self

    def refuse(self, tool: str, code: str, message: str) -> Self:
        """Adds a refusal."""
        return self.answer(tool, refused(code, message))

    def fail(self, tool: str, code: str, message: str) -> Self:
        """Adds a failure of the tool."""
        return self.answer(tool, failed(code, message))

    def hold(self, tool: str, message: str, *, then: Step | None = None) -> Self:
        """Adds a hold.

        Args:
            tool: its name.
            message: what the rule says.
            then: what becomes of it as soon as somebody waits; where left out, it stays held.
        """
        held = Step(state=State.STATE_HELD, code="HELD", message=message, then=then)
        return self.answer(tool, held)

    def settle(self, name: str, step: Step) -> None:
        """Decides a held call, by its name."""
        self._script.settle(name, step)


async def invoke_tool(
    worker: Worker,
    tool: str,
    arguments: Mapping[str, Any] | bytes,
    *,
    invocation: str = "invocations/i-1",
    principal: str = "principals/test",
    principal_groups: tuple[str, ...] = (),
    agent: str = "agents/test",
) -> Any:
    """Calls a worker's function as the broker would have it called.

    Returns:
        What it returned, after the way through JSON.

    Raises:
        KeyError: the worker does not implement the tool.
        TypeError: the arguments do not fit the signature, or the result is not JSON.
        ToolFailed: or whatever else the function raises.
    """
    implementation = worker.tools[tool]
    call = Call(
        invocation=invocation,
        tool=tool,
        tool_revision="sha256:test",
        digest="sha256:test",
        principal=principal,
        principal_groups=principal_groups,
        agent=agent,
        session="sessions/s-1",
        deadline=datetime.now(UTC) + timedelta(minutes=1),  # noqa: TID251 - as a broker would
        attempt=1,
    )
    body = implementation.bound(call, from_json(arguments_json(arguments)))
    result = await body() if implementation.is_async else await asyncio.to_thread(body)
    return from_json(result_json(result))


class _Clock:
    """Time that passes by being waited for."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds


class _AsyncClock:
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
        await asyncio.sleep(0)


class _SyncScripted:
    """A SyncTransport on a script."""

    def __init__(self, script: Script, clock: _Clock) -> None:
        self._script = script
        self._clock = clock

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        del method, deadline_s  # the request says all, and it takes no time
        return cast("A", self._script.answer(request))

    def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        del method, deadline_s
        return cast("A", self._script.take(requests))

    def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> Generator[A, None, None]:
        del method
        for answer in self._script.give(request):
            yield cast("A", answer)
        if isinstance(request, broker_pb2.WatchInvocationRequest):
            self._clock.sleep(deadline_s)
            raise Unavailable("Nobody decided.", reason=DEADLINE_EXCEEDED)


class _Scripted:
    """A Transport on a script."""

    def __init__(self, script: Script, clock: _Clock) -> None:
        self._sync = _SyncScripted(script, clock)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        await asyncio.sleep(0)
        return self._sync.call(method, request, deadline_s=deadline_s)

    async def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        await asyncio.sleep(0)
        return self._sync.send(method, requests, deadline_s=deadline_s)

    async def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> AsyncGenerator[A, None]:
        for answer in self._sync.receive(method, request, deadline_s=deadline_s):
            await asyncio.sleep(0)
            yield answer

"""A real broker for as long as a test needs one: everything of `broker.app`, in a thread.

One event loop has the broker and the worker, as gRPC wants it; whoever asks uses blocking clients
from other threads. The store is a file, OPA a child process.
"""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import structlog

from broker import bootstrap, config
from broker.app import Application
from broker.log import configure
from broker.sdk import Worker
from broker.v1 import broker_pb2, broker_pb2_grpc, review_pb2, review_pb2_grpc
from examples.support_desk.operating import Operator

AGENT = "agents/replayed"
START_S = 60.0
T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        # In its own thread to the last: whoever leaves may have another loop running in theirs.
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T], *, within_s: float = START_S) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(timeout=within_s)


@dataclass
class Running:
    """A broker that serves.

    `operator` puts things in force; `tokens` are made as they are asked for.
    """

    address: str
    loop: Loop
    operator: Operator
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, kind: str) -> str:
        if kind not in self._tokens:
            terms: dict[str, Any] = {
                "host": {"subject": "hosts/replay"},
                "agent": {"subject": AGENT, "person": "replayed-agents-owner"},
                "reviewer": {
                    "subject": "replay-reviewer",
                    "person": "replay-reviewer",
                    "groups": ["reviewers"],
                },
            }[kind]
            self._tokens[kind] = self.operator.create_token(kind, **terms)
        return self._tokens[kind]

    def worker_token(self, tools: Sequence[str]) -> str:
        """For a worker of these tools; a credential names 200 at most."""
        return self.operator.create_token("worker", "workers/replay", tools=tools)


@contextlib.contextmanager
def run_broker(*, sources: Mapping[str, str], nodes: Sequence[str] = ()) -> Iterator[Running]:
    """A broker with an empty store, on any free port; `nodes` run what is to run in containers."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replay-")))
        settings = config.Settings(
            listen="127.0.0.1:0",
            state=directory / "state",
            database=f"sqlite:///{directory}/state/callbroker.db",
            sources={name: config.Source(url=url) for name, url in sources.items()},
            sandboxes=config.Sandboxes(nodes=tuple(nodes)),
            web=config.Web(listen=""),  # nobody looks
            log_level="error",
        )
        stack.enter_context(_quiet())
        token = bootstrap.operator_token(settings)
        loop = stack.enter_context(Loop())
        broker = Application(settings)
        loop.run(broker.start())
        stack.callback(lambda: loop.run(broker.stop()))
        operator = stack.enter_context(Operator(broker.address, token))
        yield Running(address=broker.address, loop=loop, operator=operator)


@contextlib.contextmanager
def working(running: Running, worker: Worker) -> Iterator[None]:
    """The worker serves."""
    running.loop.run(worker.start(timeout_s=START_S))
    try:
        yield
    finally:
        running.loop.run(worker.stop())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Errors alone are logged; what other tests have set comes back."""
    before = structlog.get_config()
    configure(level="error")
    try:
        yield
    finally:
        structlog.configure(**before)


class Reviewer:
    """A cooperative person: decides as told, on what is shown."""

    def __init__(self, running: Running) -> None:
        self._channel = grpc.insecure_channel(running.address)
        self._reviews = review_pb2_grpc.ReviewServiceStub(self._channel)
        self._calls = broker_pb2_grpc.BrokerServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {running.token('reviewer')}"),)
        self._agent_metadata = (("authorization", f"Bearer {running.token('agent')}"),)

    def close(self) -> None:
        self._channel.close()

    def decide(self, invocation: str, *, approve: bool) -> None:
        """Approve or reject what an invocation waits for."""
        record = self._calls.GetInvocation(
            broker_pb2.GetInvocationRequest(name=invocation),
            metadata=self._agent_metadata,
            timeout=START_S,
        ).invocation
        hold = self._reviews.GetHold(
            review_pb2.GetHoldRequest(name=record.hold), metadata=self._metadata, timeout=START_S
        ).hold
        if approve:
            self._reviews.ApproveHold(
                review_pb2.ApproveHoldRequest(
                    name=hold.name, etag=hold.etag, call_digest=hold.call_digest
                ),
                metadata=self._metadata,
                timeout=START_S,
            )
        else:
            self._reviews.RejectHold(
                review_pb2.RejectHoldRequest(
                    name=hold.name, etag=hold.etag, reason="The user did not ask for this."
                ),
                metadata=self._metadata,
                timeout=START_S,
            )


def until(holds: Any, otherwise: str, *, within_s: float = 30.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)

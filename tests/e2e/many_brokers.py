"""Three brokers over one PostgreSQL database, and a worker that was given the address of one.

Nothing is simulated: each is a `broker.app` with a state directory, an OPA and a port of its own,
on one loop of this process.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import structlog

from broker import bootstrap, config
from broker.app import Application
from broker.log import configure
from broker.sdk import SyncBroker, Worker, connect_sync
from broker.v1 import admin_pb2_grpc, review_pb2, review_pb2_grpc
from examples.support_desk.operating import Operator
from tests.between import Between
from tests.e2e.guarded_shop import MovableClock
from tests.fakes.policy_trees import family, opa, write_tree
from tests.postgres import server
from tests.replay.running import Loop

AGENT, OWNER, CUSTOMER = "agents/payer", "the-owner", "customers/c-1"
DEADLINE_S = 60.0
LIMIT = 20


def tool(name: str, **changed: Any) -> dict[str, Any]:
    """A manifest."""
    return {
        "name": name,
        "description": "Pay an order.",
        "summary": "Pay {/amount_minor} of {/order_id}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": ["order_id", "amount_minor"],
            "properties": {
                "order_id": {"type": "string", "pattern": "^[A-Z][0-9]*$"},
                "amount_minor": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
            },
        },
        "result": {"type": "string"},
        "output": {"trust": "trusted", "sensitivity": "none"},
        "behaviour": {
            "read_only": False,
            "destructive": False,
            "idempotent": False,
            "open_world": False,
        },
        "scopes": [{"name": "orders:pay"}],
        "runner": "worker",
        "deadline_s": 20,
        **changed,
    }


TOOLS = (
    tool("pay", exclusive=["/order_id"]),
    tool("sign", exclusive=["/order_id"], runner="caller"),
    tool("give", limits={"gifts": {"per": "principal", "window_s": 86_400, "calls": LIMIT}}),
)


def rules(large: int) -> str:
    """Small amounts run, large ones wait for people."""
    return f"""
verdicts contains {{"effect": "ALLOW", "code": "SMALL", "message": "It is small."}} if {{
	input.call.tool in {{"pay", "give", "sign"}}
	input.call.arguments.amount_minor <= {large}
}}

verdicts contains {{
	"effect": "HOLD",
	"code": "LARGE",
	"message": "It is large.",
	"hold": {{"reviewers": ["leads"]}},
}} if {{
	input.call.tool in {{"pay", "give", "sign"}}
	input.call.arguments.amount_minor > {large}
}}
"""


@dataclass(kw_only=True)
class Brokers:
    """All three.

    Attributes:
        paid: orders that the worker paid, in order.
        most: how many calls it carried out at once, at most.
    """

    loop: Loop
    directory: Path
    clock: MovableClock
    applications: list[Application]
    operator_token: str
    tokens: dict[str, str] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    slow: threading.Event = field(default_factory=threading.Event)
    other_address: str = ""

    def address(self, number: int) -> str:
        if number == len(self.applications):
            return self.other_address
        return self.applications[number].address

    @contextlib.contextmanager
    def operator(self, number: int) -> Iterator[Operator]:
        with Operator(self.address(number), self.operator_token) as operator:
            yield operator

    @contextlib.contextmanager
    def client(self, number: int) -> Iterator[SyncBroker]:
        with connect_sync(
            self.address(number), host_token=self.tokens["host"], agent_token=self.tokens["agent"]
        ) as client:
            yield client

    def pay(self, number: int, order_id: str, amount_minor: int = 10, **given: Any) -> Any:
        """Pay by a session of one's own at one of the brokers; the answer."""
        with self.client(number) as client:
            mandate = client.create_mandate(
                principal=CUSTOMER, agent=AGENT, words="Pay it.", scopes=["orders:pay"]
            )
            arguments = {"order_id": order_id, "amount_minor": amount_minor}
            name = given.pop("tool", "pay")
            return client.open_session(mandate).invoke(name, arguments, **given)

    def admin(self, number: int, method: str, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {self.operator_token}"),)
        with grpc.insecure_channel(self.address(number)) as channel:
            call = getattr(admin_pb2_grpc.AdminServiceStub(channel), method)
            return call(request, metadata=metadata, timeout=DEADLINE_S)

    def approve(self, number: int, hold: str) -> None:
        metadata = (("authorization", f"Bearer {self.tokens['reviewer']}"),)
        with grpc.insecure_channel(self.address(number)) as channel:
            stub = review_pb2_grpc.ReviewServiceStub(channel)
            shown = stub.GetHold(
                review_pb2.GetHoldRequest(name=hold), metadata=metadata, timeout=DEADLINE_S
            ).hold
            request = review_pb2.ApproveHoldRequest(
                name=shown.name, etag=shown.etag, call_digest=shown.call_digest
            )
            stub.ApproveHold(request, metadata=metadata, timeout=DEADLINE_S)

    @contextlib.contextmanager
    def another(self) -> Iterator["subprocess.Popen[bytes]"]:
        """One more broker, as a process that can be killed; the last address is its own."""
        state = self.directory / "state-of-another"
        shutil.copytree(self.applications[0].settings.state, state)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.other_address = f"127.0.0.1:{probe.getsockname()[1]}"
        environment = {
            **os.environ,
            "CALLBROKER_LISTEN": self.other_address,
            "CALLBROKER_STATE": str(state),
            "CALLBROKER_DATABASE": self.applications[0].settings.database,
            "CALLBROKER_OPA": str(opa()),
            "CALLBROKER_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "broker.command", "serve"]
        process = subprocess.Popen(command, cwd=self.directory, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait(DEADLINE_S)

    def activate(self, number: int, *, large: int) -> None:
        """Put a policy in force at one of the brokers."""
        tree = write_tree(self.directory / f"policies-{large}", family(rules(large), name="pay"))
        with self.operator(number) as operator:
            operator.activate_policy(tree)


@contextlib.contextmanager
def open_brokers(
    *, count: int = 3, listen_to_brokers: bool = True, by_way_of: Between | None = None
) -> Iterator[Brokers]:
    """Start them, with tools, a policy and tokens; the last reaches its database by a way."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="brokers-")))
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        name = stack.enter_context(server().database())
        addresses = [server().url(name)] * count
        if by_way_of is not None:
            addresses[-1] = by_way_of.url(name)
        settings = [
            config.Settings(
                listen="127.0.0.1:0",
                state=directory / f"state-{number}",
                database=addresses[number],
                opa=opa(),
                listen_to_brokers=listen_to_brokers,
                log_level="error",
            )
            for number in range(count)
        ]
        token = bootstrap.operator_token(settings[0])
        for other in settings[1:]:
            shutil.copytree(settings[0].state, other.state)
        loop = stack.enter_context(Loop())
        clock = MovableClock()
        applications = [Application(each, clock=clock) for each in settings]
        for application in applications:
            loop.run(application.start())
            stack.callback(lambda a=application: loop.run(a.stop()))
        brokers = Brokers(
            loop=loop,
            directory=directory,
            clock=clock,
            applications=applications,
            operator_token=token,
        )
        _provide(brokers)
        worker = _worker(brokers)
        loop.run(worker.start(timeout_s=DEADLINE_S))
        stack.callback(lambda: loop.run(worker.stop()))
        yield brokers


def _provide(brokers: Brokers) -> None:
    with brokers.operator(0) as operator:
        operator.put_tools(TOOLS)
        for subject in (CUSTOMER, AGENT):
            operator.grant(subject, "orders:pay")
        brokers.tokens = {
            "host": operator.create_token("host", "hosts/shop"),
            "agent": operator.create_token("agent", AGENT, person=OWNER),
            "reviewer": operator.create_token(
                "reviewer", "reviewers/lead", person="the-lead", groups=["leads"]
            ),
            "worker": operator.create_token("worker", "workers/pay", tools=["pay", "give"]),
        }
    brokers.activate(0, large=100)


def _worker(brokers: Brokers) -> Worker:
    worker = Worker(brokers.address(0), brokers.tokens["worker"], slots=4, drain_s=1.0)

    async def pay(order_id: str, amount_minor: int) -> str:
        del amount_minor
        brokers.running += 1
        brokers.most = max(brokers.most, brokers.running)
        try:
            while brokers.slow.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.005)
        finally:
            brokers.running -= 1
        brokers.paid.append(order_id)
        return order_id

    for name in ("pay", "give"):
        worker.tool(name)(pay)
    return worker

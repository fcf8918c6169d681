"""Real processes, killed or stopped within a call: nothing runs twice and nothing is lost."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker import bootstrap, config
from broker.sdk import (
    BrokerError,
    Held,
    Refused,
    Succeeded,
    SyncSession,
    Unavailable,
    connect_sync,
)
from broker.v1 import admin_pb2, admin_pb2_grpc, review_pb2, review_pb2_grpc, types_pb2
from examples.support_desk.operating import Operator
from tests.fakes.policy_trees import family, write_tree
from tests.fakes.processes import is_running
from tests.fakes.waiting import DEADLINE_S, until
from tests.postgres import address_of

ROOT = Path(__file__).parents[2]
START_S = 60.0
AGENT, OWNER, CUSTOMER = "agents/payer", "the-owner", "customers/c-1"

PAY: dict[str, Any] = {
    "name": "pay",
    "description": "Pay an order.",
    "summary": "Pay {/amount_minor} of {/order_id}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id", "amount_minor"],
        "properties": {
            "order_id": {"type": "string", "pattern": "^[A-Z]$"},
            "amount_minor": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        },
    },
    "result": {
        "type": "object",
        "additionalProperties": False,
        "required": ["payment_id"],
        "properties": {"payment_id": {"type": "string"}},
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": {
        "read_only": False,
        "destructive": False,
        "idempotent": False,
        "open_world": False,
    },
    "scopes": [{"name": "orders:pay"}],
    "exclusive": ["/order_id"],
    "runner": "worker",
    "deadline_s": 60,
}
RULES = """
verdicts contains {"effect": "ALLOW", "code": "SMALL", "message": "It is small."} if {
	input.call.tool == "pay"
	input.call.arguments.amount_minor <= 100
}

verdicts contains {
	"effect": "HOLD",
	"code": "LARGE",
	"message": "It is large.",
	"hold": {"reviewers": ["leads"]},
} if {
	input.call.tool == "pay"
	input.call.arguments.amount_minor > 100
}
"""


@dataclass
class Scene:
    """A broker's directory, a broker that can be killed, and a worker that waits to be let go."""

    directory: Path
    address: str
    operator_token: str
    broker: subprocess.Popen[bytes] | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        with (self.directory / "broker.log").open("ab") as log:
            self.broker = subprocess.Popen(
                [sys.executable, "-m", "broker.command", "serve"],
                cwd=ROOT,
                env={**os.environ, "CALLBROKER_CONFIG": str(self.directory / config.CONFIG_NAME)},
                stdout=log,
                stderr=log,
            )
        until(self.answers, self.log, within_s=START_S)

    def answers(self) -> bool:
        assert self.broker is not None
        assert self.broker.poll() is None, self.log()
        with contextlib.suppress(grpc.RpcError):
            self.admin("GetStatus", admin_pb2.GetStatusRequest())
            return True
        return False

    def is_stopping(self) -> bool:
        """What a load balancer is told."""
        with grpc.insecure_channel(self.address) as channel:
            asked = health_pb2.HealthCheckRequest()
            told = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=DEADLINE_S)
        return bool(told.status == health_pb2.HealthCheckResponse.NOT_SERVING)

    def log(self) -> str:
        return (self.directory / "broker.log").read_text(encoding="utf-8")

    def end(self, number: int) -> int:
        """Send the broker a signal, and wait until it is gone."""
        assert self.broker is not None
        self.broker.send_signal(number)
        return self.broker.wait(START_S)

    def children(self) -> list[int]:
        """The broker's child processes."""
        assert self.broker is not None
        pid = self.broker.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(child) for child in text.split()]

    def admin(self, method: str, request: Any, *, token: str = "") -> Any:
        metadata = (("authorization", f"Bearer {token or self.operator_token}"),)
        with grpc.insecure_channel(self.address) as channel:
            call = getattr(admin_pb2_grpc.AdminServiceStub(channel), method)
            return call(request, metadata=metadata, timeout=DEADLINE_S)

    def story(self, name: str) -> Any:
        return self.admin("ShowInvocation", admin_pb2.ShowInvocationRequest(name=name))

    def state(self, name: str) -> str:
        number = self.story(name).invocation.invocation.state
        return str(types_pb2.Invocation.State.Name(number).removeprefix("STATE_"))

    def reconcile(self, name: str, *, token: str = "") -> None:
        request = admin_pb2.ReconcileInvocationRequest(
            name=name, took_effect=True, evidence="It is in the provider's books."
        )
        self.admin("ReconcileInvocation", request, token=token)

    def approve(self, hold_name: str) -> None:
        metadata = (("authorization", f"Bearer {self.tokens['reviewer']}"),)
        with grpc.insecure_channel(self.address) as channel:
            stub = review_pb2_grpc.ReviewServiceStub(channel)
            shown = stub.GetHold(
                review_pb2.GetHoldRequest(name=hold_name), metadata=metadata, timeout=DEADLINE_S
            ).hold
            request = review_pb2.ApproveHoldRequest(
                name=shown.name, etag=shown.etag, call_digest=shown.call_digest
            )
            stub.ApproveHold(request, metadata=metadata, timeout=DEADLINE_S)

    @contextlib.contextmanager
    def session(self) -> Iterator[SyncSession]:
        with connect_sync(
            self.address, host_token=self.tokens["host"], agent_token=self.tokens["agent"]
        ) as client:
            mandate = client.create_mandate(
                principal=CUSTOMER, agent=AGENT, words="Pay it.", scopes=["orders:pay"]
            )
            yield client.open_session(mandate)

    def tail(self) -> grpc.StatusCode:
        """Look on for as long as it goes, and say how it ended."""
        metadata = (("authorization", f"Bearer {self.operator_token}"),)
        with grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            request = admin_pb2.TailInvocationsRequest()
            try:
                for _ in stub.TailInvocations(request, metadata=metadata, timeout=START_S):
                    pass
            except grpc.RpcError as ended:
                return ended.code()
        return grpc.StatusCode.OK

    def pay(
        self,
        order_id: str,
        amount_minor: int,
        *,
        deadline_s: float = START_S,
        hold_wait_s: float = 0.0,
    ) -> Any:
        arguments = {"order_id": order_id, "amount_minor": amount_minor}
        with self.session() as session:
            return session.invoke("pay", arguments, deadline_s=deadline_s, wait_s=hold_wait_s)

    def paying(self, order_id: str) -> "Asking":
        """Pay in a thread, and return once the tool has begun."""
        asking = Asking(lambda: self.pay(order_id, 50))
        asking.start()
        until(lambda: self.noted("began", order_id) != [], self.log)
        return asking

    def noted(self, what: str, order_id: str) -> list[str]:
        file = self.directory / f"{what}-{order_id}"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def let_go(self, order_id: str) -> None:
        (self.directory / f"go-{order_id}").touch()


class Asking(threading.Thread):
    """A caller that waits for its answer; `came` is the answer or the error."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self.came: Any = None

    def run(self) -> None:
        try:
            self.came = self._ask()
        except BrokerError as error:
            self.came = error

    def answer(self) -> Any:
        self.join(START_S)
        assert not self.is_alive()
        return self.came


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with address_of(request.param, tmp_path / "state") as address:
        yield address


@pytest.fixture
def scene(tmp_path: Path, database: str) -> Iterator[Scene]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / config.CONFIG_NAME).write_text(
        f'listen = "{address}"\nlog_level = "warning"\ndatabase = "{database}"\n', encoding="utf-8"
    )
    settings = config.Settings(state=tmp_path / "state", database=database)
    made = Scene(tmp_path, address, bootstrap.operator_token(settings))
    made.start()
    with Operator(address, made.operator_token) as operator, contextlib.ExitStack() as ending:
        ending.callback(lambda: made.broker and made.broker.poll() is None and made.end(9))
        operator.put_tools([PAY])
        operator.activate_policy(write_tree(tmp_path / "policies", family(RULES, name="pay")))
        for subject in (CUSTOMER, AGENT):
            operator.grant(subject, "orders:pay")
        made.tokens = {
            "host": operator.create_token("host", "hosts/shop"),
            "agent": operator.create_token("agent", AGENT, person=OWNER),
            "reviewer": operator.create_token(
                "reviewer", "reviewers/lead", person="the-lead", groups=["leads"]
            ),
            "owner": operator.create_token("operator", "operators/owner", person=OWNER),
            "worker": operator.create_token("worker", "workers/pay", tools=["pay"]),
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.sleeping_worker"],
            cwd=ROOT,
            env={
                **os.environ,
                "CALLBROKER_ADDRESS": address,
                "CALLBROKER_WORKER_TOKEN": made.tokens["worker"],
                "JOURNAL": str(tmp_path),
            },
        )
        ending.callback(worker.wait)
        ending.callback(worker.kill)
        until(lambda: operator.workers() == 1, made.log)
        yield made


def test_a_broker_killed_in_the_middle_of_a_call_loses_nothing_and_repeats_nothing(scene: Scene):
    """Kill the broker while one payment is under way and another waits for a person."""
    held = scene.pay("B", 500)
    assert isinstance(held, Held)
    asking = scene.paying("A")
    children = scene.children()
    assert children
    scene.end(signal.SIGKILL)
    assert isinstance(asking.answer(), BrokerError)
    until(lambda: not any(is_running(child) for child in children), "OPA is left behind")

    scene.start()
    (interrupted,) = scene.noted("began", "A")
    assert scene.state(interrupted) == "UNKNOWN"
    assert scene.state(held.name) == "HELD"
    again = scene.pay("A", 10)
    assert isinstance(again, Refused)
    assert again.code == "EXCLUSIVE_UNSETTLED"

    scene.let_go("B")
    until(lambda: scene.admin("GetStatus", admin_pb2.GetStatusRequest()).workers, scene.log)
    scene.approve(scene.story(held.name).invocation.invocation.hold)
    until(lambda: scene.state(held.name) == "SUCCEEDED", scene.log)
    assert scene.noted("paid", "B") == [f"{held.name} 500"]

    scene.let_go("A")  # the worker has gone on meanwhile, and comes back with its answer
    until(lambda: b"attempt.answered_late" in b"".join(scene.story(interrupted).entries_json), "")
    assert scene.state(interrupted) == "UNKNOWN"
    assert scene.noted("paid", "A") == [f"{interrupted} 50"]

    with pytest.raises(grpc.RpcError) as refused:
        scene.reconcile(interrupted, token=scene.tokens["owner"])
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    scene.reconcile(interrupted)
    assert scene.state(interrupted) == "SUCCEEDED"
    assert isinstance(scene.pay("A", 10), Succeeded)
    assert len(scene.noted("paid", "A")) == 2
    verify(scene)


def test_a_broker_that_is_told_to_stop_lets_a_call_end(scene: Scene):
    """Stop the broker while a payment is under way: its worker can still say that it paid.

    Nothing new is begun; who waits for a person is answered at once, and who only looks on is told
    at the end that it is over.
    """
    asking = scene.paying("A")
    (name,) = scene.noted("began", "A")
    waiting = Asking(lambda: scene.pay("B", 500, hold_wait_s=START_S))
    waiting.start()
    watching = Asking(scene.tail)
    watching.start()
    until(lambda: scene.admin("GetStatus", admin_pb2.GetStatusRequest()).holds_pending, scene.log)
    assert scene.broker is not None
    scene.broker.send_signal(signal.SIGTERM)
    until(scene.is_stopping, scene.log)
    assert isinstance(waiting.answer(), Held)
    with pytest.raises(Unavailable, match="stopping"):
        scene.pay("C", 10, deadline_s=5.0)
    assert watching.is_alive()
    scene.let_go("A")
    assert isinstance(asking.answer(), Succeeded)
    assert watching.answer() is grpc.StatusCode.UNAVAILABLE
    assert scene.broker.wait(START_S) == 0
    assert scene.noted("began", "C") == []
    scene.start()
    assert scene.state(name) == "SUCCEEDED"
    verify(scene)


def test_a_broker_that_is_told_twice_to_stop_waits_for_nothing(scene: Scene):
    """Stop the broker twice within a payment: it ends at once, and what is left ends as UNKNOWN."""
    asking = scene.paying("A")
    (name,) = scene.noted("began", "A")
    assert scene.broker is not None
    scene.broker.send_signal(signal.SIGTERM)
    until(scene.is_stopping, scene.log)
    assert scene.end(signal.SIGTERM) == 0
    assert isinstance(asking.answer(), BrokerError)
    scene.start()
    assert scene.state(name) == "UNKNOWN"
    verify(scene)


def verify(scene: Scene) -> None:
    """Export the log, and check it with the public key and the heads outside of the database."""
    metadata = (("authorization", f"Bearer {scene.operator_token}"),)
    exported = scene.directory / "audit.jsonl"
    with grpc.insecure_channel(scene.address) as channel, exported.open("wb") as file:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        request = admin_pb2.ExportAuditRequest(include_contents=True)
        for part in stub.ExportAudit(request, metadata=metadata, timeout=DEADLINE_S):
            file.write(part.lines)
    state = scene.directory / "state"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "broker.command", "audit", "verify", str(exported)),
            *("--key", str(state / "audit.pub")),
            *("--checkpoint", str(state / "checkpoints" / "heads.jsonl")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr

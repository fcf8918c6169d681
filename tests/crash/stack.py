"""The full stack as processes, any of which can be killed and started again while the rest goes on.

A broker with its OPA, over SQLite or a PostgreSQL server of its own; a worker; `callbroker
sandboxd` over a container engine of its own. Nothing is simulated, so only root can. They end with
the thread that they are started from.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from broker import bootstrap, config
from broker.v1 import admin_pb2, admin_pb2_grpc
from examples.support_desk.operating import Operator
from tests.engine import OwnEngine
from tests.engine_api import ContainerEngine, EngineTrouble
from tests.fakes.policy_trees import family, opa, write_tree
from tests.fakes.waiting import until
from tests.postgres import Server
from tests.replay.running import Loop
from tests.sandbox_images import tool_image
from tests.sandbox_nodes import NodeProcess

ROOT = Path(__file__).parents[2]
AGENT, OWNER, CUSTOMER = "agents/payer", "the-owner", "customers/c-1"
START_S = 90.0
SCOPE = "orders:pay"
SMALL_MINOR, LARGE_MINOR = 100, 500
SANDBOXED: Final = "work"
KNOWS_KEYS: Final = frozenset({"send"})
WORK = """
import time

def run(call, order, amount_minor, linger_ms):
    time.sleep(linger_ms / 1000)
    return order
"""
RULES = f"""
verdicts contains {{"effect": "ALLOW", "code": "SMALL", "message": "It is small."}} if {{
	input.call.arguments.amount_minor <= {SMALL_MINOR}
}}

verdicts contains {{
	"effect": "HOLD",
	"code": "LARGE",
	"message": "It is large.",
	"hold": {{"reviewers": ["leads"]}},
}} if {{
	input.call.arguments.amount_minor > {SMALL_MINOR}
}}
"""


def _tool(name: str, *, idempotent: bool = False, **changed: Any) -> Mapping[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": 10_000}
    return {
        "name": name,
        "description": "Pay an order.",
        "summary": "Pay {/amount_minor} of {/order}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": ["order", "amount_minor", "linger_ms"],
            "properties": {
                "order": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
                "amount_minor": whole,
                "linger_ms": whole,
            },
        },
        "result": {"type": "string"},
        "output": {"trust": "trusted", "sensitivity": "none"},
        "behaviour": {
            "read_only": False,
            "destructive": False,
            "idempotent": idempotent,
            "open_world": False,
        },
        "targets": [],
        "scopes": [{"name": SCOPE}],
        "runner": "worker",
        "deadline_s": 3,
        **changed,
    }


@dataclass(kw_only=True)
class Stack:
    """What runs, and how each of it is killed.

    Attributes:
        engine, node: None where nothing runs in sandboxes.
        around: the command that runs the broker's, where any.
    """

    directory: Path
    address: str
    database: str
    operator_token: str
    engine: ContainerEngine | None
    loop: Loop
    node: NodeProcess | None
    server: Server | None
    around: Sequence[str] = ()
    broker: "subprocess.Popen[bytes] | None" = None
    worker: "subprocess.Popen[bytes] | None" = None
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        """Where effects are."""
        return self.directory / "ledger.jsonl"

    @property
    def state(self) -> Path:
        """The broker's directory."""
        return self.directory / "state"

    def start_broker(self) -> None:
        """Start it; it serves a moment later."""
        named = {"CALLBROKER_CONFIG": str(self.directory / config.CONFIG_NAME)}
        command = [*self.around, *_python("broker.command"), "serve"]
        self.broker = self._started("broker", command, named)

    def start_worker(self) -> None:
        """Start it; it is connected once the broker serves."""
        named = {
            "CALLBROKER_ADDRESS": self.address,
            "CALLBROKER_WORKER_TOKEN": self.tokens["worker"],
            "STACK_LEDGER": str(self.ledger),
            "STACK_DATABASE": self.database,
        }
        self.worker = self._started("worker", _python("tests.crash.stack_worker"), named)

    def is_served(self) -> bool:
        """Whether the broker answers."""
        with contextlib.suppress(grpc.RpcError):
            self.status()
            return True
        return False

    def is_worked_for(self) -> bool:
        """Whether the worker is connected."""
        with contextlib.suppress(grpc.RpcError):
            return bool(self.status().workers)
        return False

    def has_ended(self) -> bool:
        """Whether the broker is not there, killed or not."""
        return self.broker is None or self.broker.poll() is not None

    def status(self) -> Any:
        """What the broker says of itself."""
        with grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return stub.GetStatus(
                admin_pb2.GetStatusRequest(), metadata=self.as_operator, timeout=10
            )

    @property
    def as_operator(self) -> tuple[tuple[str, str], ...]:
        """Metadata."""
        return (("authorization", f"Bearer {self.operator_token}"),)

    def log(self, name: str) -> str:
        """The end of what one has written."""
        path = self.directory / f"{name}.log"
        return path.read_text("utf-8", "replace")[-4_000:] if path.exists() else ""

    @property
    def blows(self) -> Mapping[str, Callable[[random.Random], Callable[[], None] | None]]:
        """By the name of what is killed; each returns what starts it again, None if nothing was."""
        whole = {
            "broker": self._kill_broker,
            "opa": self._kill_opa,
            "worker": self._kill_worker,
        }
        if self.node is not None:
            whole |= {"sandboxd": self._kill_node, "container": self._kill_container}
        own = {"engine": self._kill_engine} if isinstance(self.engine, OwnEngine) else {}
        shared = {"postgres": self._kill_server, "backend": self._kill_backend}
        return whole | own | (shared if self.server else {})

    def _kill_broker(self, _: random.Random) -> Callable[[], None]:
        _end(self.broker)
        return self.start_broker

    def _kill_worker(self, _: random.Random) -> Callable[[], None]:
        _end(self.worker)
        return self.start_worker

    def _kill_opa(self, choose: random.Random) -> Callable[[], None] | None:
        assert self.broker is not None
        found = [pid for pid in _children(self.broker.pid) if _command(pid) == "opa"]
        return _kill_one(found, choose)

    def _kill_node(self, _: random.Random) -> Callable[[], None]:
        node = self.node
        assert node is not None
        self.loop.run(node.stop(signal.SIGKILL))
        return lambda: self.loop.run(node.start())

    def _kill_container(self, choose: random.Random) -> Callable[[], None] | None:
        assert self.engine is not None
        assert self.node is not None
        with contextlib.suppress(EngineTrouble):
            there = self.engine.containers(f"callbroker.sandboxd={self.node.node_id}")
            if there:
                self.engine.ask("POST", f"/containers/{choose.choice(there)}/kill")
                return _nothing
        return None

    def _kill_engine(self, _: random.Random) -> Callable[[], None]:
        assert isinstance(self.engine, OwnEngine)
        self.engine.kill()
        return self.engine.start

    def _kill_server(self, _: random.Random) -> Callable[[], None]:
        assert self.server is not None
        self.server.kill()
        return self.server.start

    def _kill_backend(self, choose: random.Random) -> Callable[[], None] | None:
        assert self.server is not None
        return _kill_one(self.server.children(), choose)

    def _started(
        self, name: str, command: Sequence[str], named: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *command],
                cwd=ROOT,
                env={**os.environ, **named},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextlib.contextmanager
def open_stack(kind: str, engine: ContainerEngine | None) -> Iterator[Stack]:
    """All of it, with tools, a policy and credentials; `kind` is sqlite or postgres.

    Args:
        engine: not killed where it is not our own; without one nothing runs in sandboxes.
    """
    with contextlib.ExitStack() as ending:
        directory = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="cb-")))
        server = Server() if kind == "postgres" else None
        database = f"sqlite:///{directory}/state/callbroker.db"
        if server is not None:
            ending.callback(server.stop)
            server.run("CREATE DATABASE stack TEMPLATE template0")
            database = server.url("stack")
        loop = ending.enter_context(Loop())
        node = None
        if engine is not None:
            node = NodeProcess(engine.url, directory / "node", log_level="warning")
            loop.run(node.start())
            ending.callback(lambda: loop.run(node.stop()))
        stack = Stack(
            directory=directory,
            address=_free_address(),
            database=database,
            operator_token=bootstrap.operator_token(
                config.Settings(state=directory / "state", database=database)
            ),
            engine=engine,
            loop=loop,
            node=node,
            server=server,
        )
        (directory / config.CONFIG_NAME).write_text(_settings(stack), encoding="utf-8")
        ending.callback(lambda: _end(stack.broker))
        ending.callback(lambda: _end(stack.worker))
        stack.start_broker()
        until(stack.is_served, lambda: stack.log("broker"), within_s=START_S)
        _provide(stack)
        stack.start_worker()
        until(stack.is_worked_for, lambda: stack.log("worker"), within_s=START_S)
        yield stack


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _settings(stack: Stack) -> str:
    return "\n".join(
        (
            f'listen = "{stack.address}"',
            f'state = "{stack.state}"',
            f'database = "{stack.database}"',
            f'opa = "{opa()}"',
            'log_level = "warning"',
            "[web]",
            'listen = "127.0.0.1:0"',
            *((f'[sandboxes]\nnodes = ["{stack.node.address}"]',) if stack.node else ()),
        )
    )


def _provide(stack: Stack) -> None:
    tools = [_tool("pay", exclusive=["/order"]), _tool("send", idempotent=True)]
    if stack.engine is not None:
        sandbox = {"image": tool_image(stack.engine, WORK), "profile": "strict"}
        tools.append(_tool(SANDBOXED, runner="sandbox", sandbox=sandbox))
    with Operator(stack.address, stack.operator_token) as operator:
        operator.put_tools(tools)
        operator.activate_policy(write_tree(stack.directory / "rules", family(RULES, name="pay")))
        for subject in (CUSTOMER, AGENT):
            operator.grant(subject, SCOPE)
        stack.tokens = {
            "host": operator.create_token("host", "hosts/shop"),
            "agent": operator.create_token("agent", AGENT, person=OWNER),
            "reviewer": operator.create_token(
                "reviewer", "reviewers/lead", person="the-lead", groups=["leads"]
            ),
            "worker": operator.create_token("worker", "workers/pay", tools=["pay", "send"]),
        }


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _kill_one(found: list[int], choose: random.Random) -> Callable[[], None] | None:
    if not found:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(choose.choice(found), signal.SIGKILL)
    return _nothing


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        process.kill()
        process.wait(START_S)


def _nothing() -> None:
    """It comes back by itself."""

"""A real broker with a few tools, and a view of everything that a refusal must leave as it was.

Nothing is simulated: `broker.app`, SQLite, a supervised OPA and an SDK worker, in a thread of this
process. Whoever asks uses blocking stubs. Time is the machine's, and a test may move it ahead.
"""

import asyncio
import contextlib
import json
import queue
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from broker import bootstrap, config
from broker.app import Application, system_clock
from broker.log import configure
from broker.sdk import Worker
from broker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    broker_pb2,
    broker_pb2_grpc,
    host_pb2,
    host_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    types_pb2,
    worker_pb2,
    worker_pb2_grpc,
)
from examples.support_desk.operating import Operator
from tests.fakes.policy_trees import opa
from tests.replay.running import Loop

AGENT, OTHER_AGENT = "agents/assistant", "agents/stranger"
CUSTOMER = "customers/c-204"
DEADLINE_S = 30.0
LINGER_S = 2.5
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b1m\u202e\u200b\r[bold]"
TEXT = {"type": "string"}


def tool(name: str, properties: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    """A manifest; all arguments are required but `note`."""
    return {
        "name": name,
        "description": "A tool of a test.",
        "summary": f"Carry out {name}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": [key for key in properties if key != "note"],
            "properties": properties,
        },
        "scopes": [{"name": f"{name}:use"}],
        "runner": "worker",
        "deadline_s": 10,
        **more,
    }


READ_NOTE = tool(
    "read_note",
    {"note_id": TEXT},
    behaviour={"read_only": True, "destructive": False, "idempotent": True, "open_world": False},
)
REFUND = tool(
    "refund",
    {"order_id": TEXT, "amount_minor": {"type": "integer", "minimum": 1}, "note": TEXT},
    exclusive=["/order_id"],
    limits={"refunds": {"per": "principal", "window_s": 86_400, "calls": 1_000}},
)
DELETE_NOTE = tool(
    "delete_note",
    {"note_id": TEXT, "labels": {"type": "object", "additionalProperties": TEXT}},
    summary="Delete {/note_id}, called {note#/title}",
    facts={
        "note": {
            "source": "shop",
            "sql": "SELECT title FROM notes WHERE id = :id",
            "parameters": {"id": "/note_id"},
            "absent": "DENY",
            "deadline_s": 5,
            "shape": {"type": "object", "required": ["title"], "properties": {"title": TEXT}},
        }
    },
    review={"beside": {"/note_id": ["note#/title"]}},
)
WIPE = tool("wipe", {"note_id": TEXT})
PROBE = tool("probe", {"address": TEXT, "size": {"type": "integer"}})
LEDGER = tool("ledger", {"line": TEXT})
ARCHIVE = tool("archive", {"note_id": TEXT})
LINGER = tool("linger", {"line": TEXT})
TOOLS = (READ_NOTE, REFUND, DELETE_NOTE, WIPE, PROBE, LEDGER, ARCHIVE, LINGER)
NOT_GRANTED = "archive"

RULES = """\
package broker.rules.desk

verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} if {
	input.call.tool in {"refund", "ledger", "probe", "linger"}
}

verdicts contains {
	"effect": "HOLD",
	"code": "ASK",
	"message": sprintf("A person decides on %s.", [input.call.arguments.note_id]),
	"hold": {"reviewers": ["leads"], "approvals_required": needed},
} if {
	needed := {"delete_note": 1, "wipe": 2}[input.call.tool]
}

verdicts contains {"effect": "DENY", "code": "INSIDE", "message": "Inside."} if {
	input.call.tool == "probe"
	net.cidr_contains("10.0.0.0/8", input.call.arguments.address)
}

verdicts contains {"effect": "DENY", "code": "NEVER", "message": "Never."} if {
	input.call.tool == "probe"
	some a in numbers.range(1, input.call.arguments.size)
	some b in numbers.range(1, input.call.arguments.size)
	a * b == -1
}
"""
FAMILY = {"broker/rules/desk/desk.rego": RULES.encode()}


@dataclass
class MovableClock:
    """The machine's time, moved ahead by as much as tests have asked for."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return system_clock() + self.ahead_s


@dataclass(frozen=True, kw_only=True)
class Refused:
    """How an RPC was refused."""

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Session:
    """An open session, with what its mandate is called."""

    name: str
    secret: str
    mandate: str
    agent: str


@dataclass(kw_only=True)
class GuardedShop:
    """A broker that serves, with tools that count.

    Attributes:
        ran: the tools that were carried out, in order.
    """

    application: Application
    loop: Loop
    directory: Path
    clock: MovableClock
    operator: Operator
    operator_token: str
    channel: grpc.Channel
    ran: list[str] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)
    _requests: int = 0

    @property
    def address(self) -> str:
        return self.application.address

    @property
    def host(self) -> Any:
        return host_pb2_grpc.HostServiceStub(self.channel)

    @property
    def broker(self) -> Any:
        return broker_pb2_grpc.BrokerServiceStub(self.channel)

    @property
    def review(self) -> Any:
        return review_pb2_grpc.ReviewServiceStub(self.channel)

    @property
    def admin(self) -> Any:
        return admin_pb2_grpc.AdminServiceStub(self.channel)

    @property
    def worker(self) -> Any:
        return worker_pb2_grpc.WorkerServiceStub(self.channel)

    def by(self, kind: str, subject: str = "", **terms: Any) -> dict[str, Any]:
        """How somebody asks: keywords for a stub's call. A token is made once for each subject."""
        subject = subject or {"host": "hosts/shop", "agent": AGENT, "reviewer": "lead-1"}[kind]
        if subject not in self._tokens:
            if kind == "agent":
                terms = {"person": "assistants-owner", **terms}
            if kind == "reviewer":
                terms = {"person": subject, "groups": ["leads"], **terms}
            self._tokens[subject] = self.operator.create_token(kind, subject, **terms)
        return bearer(self._tokens[subject])

    @property
    def by_operator(self) -> dict[str, Any]:
        return bearer(self.operator_token)

    def mandate(self, *, agent: str = AGENT, principal: str = CUSTOMER, **given: Any) -> Any:
        self.by("agent", agent)  # there is none without a credential
        return self.host.CreateMandate(
            host_pb2.CreateMandateRequest(
                principal=host_pb2.Principal(id=principal, groups=["customers"]),
                agent=agent,
                scopes=[types_pb2.Scope(name=f"{t['name']}:use") for t in TOOLS],
                **given,
            ),
            **self.by("host"),
        )

    def session(self, *, agent: str = AGENT, **given: Any) -> Session:
        mandate = self.mandate(agent=agent, **given)
        opened = self.broker.OpenSession(
            broker_pb2.OpenSessionRequest(mandate_secret=mandate.secret), **self.by("agent", agent)
        )
        return Session(name=opened.name, secret=opened.secret, mandate=mandate.name, agent=agent)

    def invoke(
        self, session: Session, name: str, arguments: object, *, agent: str = "", **given: Any
    ) -> types_pb2.Invocation:
        """One call; `arguments` are bytes as they are, or a value that becomes JSON."""
        self._requests += 1
        raw = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
        request = {
            "session": session.name,
            "session_secret": session.secret,
            "request_id": f"r-{self._requests}",
            "tool": name,
            "arguments_json": raw,
            **given,
        }
        return self.broker.Invoke(
            broker_pb2.InvokeRequest(**request), **self.by("agent", agent or session.agent)
        ).invocation

    def refund(self, session: Session, **given: Any) -> types_pb2.Invocation:
        """A call that is allowed, and carried out."""
        return self.invoke(session, "refund", {"order_id": "O-1", "amount_minor": 1}, **given)

    def hold(self, session: Session, name: str = "delete_note", **more: Any) -> review_pb2.Hold:
        """A call that waits for people, as its reviewers see it."""
        extra = {"labels": {}} if name == "delete_note" else {}
        held = self.invoke(session, name, {"note_id": "n-1", **extra, **more})
        assert held.state == types_pb2.Invocation.STATE_HELD, held
        return self.shown(held.hold)

    def shown(self, name: str, reviewer: str = "lead-1") -> review_pb2.Hold:
        return self.review.GetHold(
            review_pb2.GetHoldRequest(name=name), **self.by("reviewer", reviewer)
        ).hold

    def approve(self, hold: review_pb2.Hold, reviewer: str = "lead-1", **given: Any) -> Any:
        request = {"name": hold.name, "etag": hold.etag, "call_digest": hold.call_digest, **given}
        return self.review.ApproveHold(
            review_pb2.ApproveHoldRequest(**request), **self.by("reviewer", reviewer)
        ).hold

    def story(self, invocation: str) -> list[dict[str, Any]]:
        """The audit entries of a call."""
        shown = self.admin.ShowInvocation(
            admin_pb2.ShowInvocationRequest(name=invocation), **self.by_operator
        )
        return [json.loads(entry) for entry in shown.entries_json]

    def state(self, invocation: str) -> str:
        shown = self.admin.ShowInvocation(
            admin_pb2.ShowInvocationRequest(name=invocation), **self.by_operator
        )
        number = shown.invocation.invocation.state
        return types_pb2.Invocation.State.Name(number).removeprefix("STATE_")

    def said_since(self, at: float) -> list[dict[str, Any]]:
        """The audit entries from a moment on, as an export has them."""
        start = Timestamp()
        start.FromNanoseconds(int(at * 1_000_000_000))
        parts = self.admin.ExportAudit(
            admin_pb2.ExportAuditRequest(start_time=start), **self.by_operator
        )
        lines = b"".join(part.lines for part in parts).splitlines()
        entries = [line["entry"] for line in map(json.loads, lines) if "entry" in line]
        told = [json.loads(e) if isinstance(e, str) else e for e in entries]
        return [entry for entry in told if entry["at_us"] >= at * 1_000_000]

    def rows(self) -> dict[str, frozenset[tuple[object, ...]]]:
        """Every row of every table but those of the log."""
        path = self.directory / "state" / "callbroker.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            names = [
                name
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
                if not name.startswith(("audit_", "sqlite_"))
            ]
            return {n: frozenset(database.execute(f'SELECT * FROM "{n}"')) for n in names}

    @contextlib.contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """No tool runs in the block, and no row but the log's is another afterwards."""
        before, ran = self.rows(), list(self.ran)
        yield
        after = self.rows()
        assert {name for name in after if after[name] != before.get(name)} == set()
        assert self.ran == ran

    @contextlib.contextmanager
    def only_a_record(self, session: Session, state: str) -> Iterator[None]:
        """No tool runs; there is one record more, and its own session knows of it."""
        before, ran = self.rows(), list(self.ran)
        yield
        after = self.rows()
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed == {"invocations", "sessions", "history"}
        [record] = after["invocations"] - before["invocations"]
        assert state in record
        assert before["invocations"] < after["invocations"]
        for name in ("sessions", "history"):
            assert {session.name in row for row in after[name] ^ before[name]} == {True}
        assert self.ran == ran


class RawWorker:
    """A worker's stream, said and heard message by message."""

    def __init__(self, shop: GuardedShop, token: str, *tools: str) -> None:
        self._out: queue.SimpleQueue[worker_pb2.ConnectRequest | None] = queue.SimpleQueue()
        self._stream = shop.worker.Connect(iter(self._out.get, None), **bearer(token))
        documents = {str(t["name"]): t for t in TOOLS}
        offers = [
            worker_pb2.ToolOffer(
                name=name,
                parameters_schema_json=json.dumps(
                    documents.get(name, LEDGER)["arguments"]
                ).encode(),
            )
            for name in tools
        ]
        self.say(hello=worker_pb2.WorkerHello(slots=1, tools=offers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.put(None)
        for _ in self._stream:
            pass

    def say(self, **message: Any) -> None:
        self._out.put(worker_pb2.ConnectRequest(**message))

    def answer(self, handover: worker_pb2.Handover, result: bytes, *, token: str = "") -> None:
        self.say(
            answer=worker_pb2.WorkerAnswer(
                invocation=handover.invocation,
                fencing_token=token or handover.fencing_token,
                result_json=result,
            )
        )

    def hear(self) -> worker_pb2.ConnectResponse:
        return next(self._stream)


def settings_in(directory: Path) -> config.Settings:
    """Those of a broker whose state and shop are in this directory."""
    return config.Settings(
        listen="127.0.0.1:0",
        state=directory / "state",
        database=f"sqlite:///{directory}/state/callbroker.db",
        opa=opa(),
        sources={"shop": config.Source(url=f"sqlite:///{directory}/shop.db")},
        log_level="error",
    )


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": DEADLINE_S}


def refused(call: Callable[[], object]) -> Refused:
    """The refusal of a call that has to be refused."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return refusal_of(error)
    raise AssertionError(f"this was not refused: {answer}")


def refusal_of(error: Any) -> Refused:
    """What an RPC's error says; its trailer and its details have to say the same."""
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert trailing["callbroker-reason"] == detail.reason
    return Refused(
        code=error.code().name,
        reason=detail.reason,
        message=error.details(),
        metadata=dict(detail.metadata),
    )


@contextlib.contextmanager
def open_shop() -> Iterator[GuardedShop]:
    """A broker with the tools and rules above, and a worker of all of them but `ledger`."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-")))
        _make_records(directory / "shop.db")
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        settings = settings_in(directory)
        token = bootstrap.operator_token(settings)
        loop = stack.enter_context(Loop())
        clock = MovableClock()
        application = Application(settings, clock=clock)
        loop.run(application.start())
        stack.callback(lambda: loop.run(application.stop()))
        operator = stack.enter_context(Operator(application.address, token))
        channel = stack.enter_context(grpc.insecure_channel(application.address))
        shop = GuardedShop(
            application=application,
            loop=loop,
            directory=directory,
            clock=clock,
            operator=operator,
            operator_token=token,
            channel=channel,
        )
        _provide(shop)
        names = [str(t["name"]) for t in TOOLS if t["name"] != "ledger"]
        worker = _worker(shop, operator.create_token("worker", "workers/shop", tools=names))
        loop.run(worker.start(timeout_s=DEADLINE_S))
        stack.callback(lambda: loop.run(worker.stop()))
        yield shop


def _provide(shop: GuardedShop) -> None:
    shop.operator.put_tools(TOOLS)
    activate(shop, FAMILY)
    for document in TOOLS:
        if document["name"] != NOT_GRANTED:
            for subject in ("groups/customers", AGENT, OTHER_AGENT):
                shop.operator.grant(subject, f"{document['name']}:use")


def activate(shop: GuardedShop, files: Mapping[str, bytes], **given: Any) -> str:
    """Put a policy in force; its revision."""
    return str(
        shop.admin.ActivatePolicy(
            admin_pb2.ActivatePolicyRequest(files=files, reason="a test", **given),
            **shop.by_operator,
        ).policy_revision
    )


def policy_in_force(shop: GuardedShop) -> str:
    """Its revision."""
    status = shop.admin.GetStatus(admin_pb2.GetStatusRequest(), **shop.by_operator)
    return str(status.policy_revision)


def _worker(shop: GuardedShop, token: str) -> Worker:
    worker = Worker(shop.address, token, slots=256, drain_s=1.0)

    async def read_note(note_id: str) -> str:
        shop.ran.append("read_note")
        return note_id

    async def refund(order_id: str, amount_minor: int, note: str = "") -> str:
        del amount_minor, note
        shop.ran.append("refund")
        return order_id

    async def delete_note(note_id: str, labels: dict[str, str]) -> str:
        del labels
        shop.ran.append("delete_note")
        return note_id

    async def wipe(note_id: str) -> str:
        shop.ran.append("wipe")
        return note_id

    async def probe(address: str, size: int) -> str:
        del size
        shop.ran.append("probe")
        return address

    async def archive(note_id: str) -> str:
        shop.ran.append("archive")
        return note_id

    async def linger(line: str) -> str:
        await asyncio.sleep(LINGER_S)
        return line

    for function in (read_note, refund, delete_note, wipe, probe, archive, linger):
        worker.tool(function.__name__)(function)
    return worker


def _make_records(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as records, records:
        records.execute("CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT)")
        records.executemany(
            "INSERT INTO notes VALUES (?, ?)", [("n-1", "A lamp"), ("n-2", f"Lamp{ESCAPES}")]
        )

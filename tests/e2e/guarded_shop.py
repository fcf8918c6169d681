"""A running broker with a few tools, and a view of everything that a refusal must leave as it was.

Whoever asks uses blocking stubs. Time is the machine's, and a test may move it ahead.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from broker.app import Application, system_clock
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
    worker_pb2_grpc,
)
from examples.support_desk.operating import Operator
from tests.e2e.refusals import bearer, refused
from tests.e2e.shop_tools import AGENT, CUSTOMER, TOOLS
from tests.replay.running import Loop


@dataclass
class MovableClock:
    """The machine's time, moved ahead by as much as tests have asked for."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return system_clock() + self.ahead_s


_BY_THE_CLOCK = frozenset({"brokers", "credential_uses"})


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
        """Every row of every table but those of the log, and of what brokers note by the clock."""
        path = self.directory / "state" / "callbroker.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            names = [
                name
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
                if not name.startswith(("audit_", "sqlite_")) and name not in _BY_THE_CLOCK
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
        assert changed - {"denials"} == {"invocations", "sessions", "history"}
        [record] = after["invocations"] - before["invocations"]
        assert state in record
        assert before["invocations"] < after["invocations"]
        for name in ("sessions", "history"):
            assert {session.name in row for row in after[name] ^ before[name]} == {True}
        assert self.ran == ran

    def entries(self, at: float, kind: str) -> list[dict[str, Any]]:
        """The audit entries of a kind from a moment on."""
        return [entry for entry in self.said_since(at) if entry["kind"] == kind]

    def refused_alone(self, attempt: Callable[[], object], actor: str) -> tuple[str, str]:
        """Code and reason of a refusal that leaves an entry of its actor and changes nothing."""
        at = self.clock()
        with self.nothing_changes():
            error = refused(attempt)
        [entry] = self.entries(at, "request.refused")
        assert (entry["actor"], entry["body"]["reason"]) == (actor, error.reason)
        return error.code, error.reason


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

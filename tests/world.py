"""A whole broker in one process: real store, pipeline and reviews; policy, facts and tools fake.

`world(path)` gives a `World` with a shop in a dictionary: order O-1001 of customers/c-204, of which
120.00 was captured and 60.00 refunded. Time moves only when a test says so.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.artefacts import Artefacts
from broker.control_room import ControlRoom
from broker.core.calls import Caller, Context, Fact, Invocation, Person, Principal
from broker.core.control_rows import (
    PolicyInForce,
    credential_row,
    freeze_row,
    grant_row,
    policy_row,
    tool_row,
)
from broker.core.credentials import Credential, CredentialClass
from broker.core.decision import HoldTerms
from broker.core.freezes import Freeze, FreezeKind
from broker.core.holds import Reviewer
from broker.core.manifest import ToolManifest, parse
from broker.core.scopes import Grant, Scope
from broker.core.unit import Change, PutControl, Unit
from broker.enforcer import Enforcer
from broker.enforcer.recovery import Recovery
from broker.enforcer.resuming import Resuming
from broker.enforcer.shadowing import Shadowing
from broker.events import Events
from broker.ids import UuidFactory
from broker.invocations import Invocations
from broker.mandates import MandateOrder, Mandates
from broker.mediation import Parts, mediation
from broker.own_work import OwnWork
from broker.permits import Permits
from broker.ports import Failed, FrozenCall, Outcome, Succeeded
from broker.reviews import Handling, HoldViews, Reviews, Together
from broker.sessions import Sessions
from tests.fakes.decision_point import REVISION, FakeDecisionPoint, allow, opinion
from tests.fakes.runner import FakeRunner
from tests.stores import temporary_store

CUSTOMER = "customers/c-204"
AGENT = "agents/support-assistant"
NOW = 1_800_000_000.0
TERMS = HoldTerms(reviewers=("leads",), decide_within_s=600, run_within_s=300)

REFUND: Mapping[str, Any] = {
    "name": "refund",
    "description": "Return money of an order.",
    "summary": "Refund {/amount_minor} of order {/order_id}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id", "amount_minor", "currency"],
        "properties": {
            "order_id": {"type": "string", "pattern": "^O-[0-9]{4}$"},
            "amount_minor": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
            "currency": {"enum": ["EUR", "USD"]},
            "reason": {"type": "string", "maxLength": 300},
        },
    },
    "result": {
        "type": "object",
        "additionalProperties": False,
        "required": ["refund_id"],
        "properties": {"refund_id": {"type": "string"}},
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": {
        "read_only": False,
        "destructive": True,
        "idempotent": True,
        "open_world": False,
    },
    "facts": {
        "order": {
            "source": "shop",
            "sql": "SELECT customer_id, captured_minor, refunded_minor FROM orders WHERE id = :id",
            "parameters": {"id": "/order_id"},
            "absent": "DENY",
            "shape": {
                "type": "object",
                "required": ["customer_id", "captured_minor", "refunded_minor"],
                "properties": {
                    "customer_id": {"type": "string"},
                    "captured_minor": {"type": "integer"},
                    "refunded_minor": {"type": "integer"},
                },
            },
        },
    },
    "scopes": [{"name": "refunds:write", "where": {"order#/customer_id": "principal#/id"}}],
    "limits": {"refunds": {"per": "principal", "window_s": 86_400, "calls": 50}},
    "exclusive": ["/order_id"],
    "runner": "worker",
    "deadline_s": 10,
    "review": {"money": {"/amount_minor": "/currency"}},
}
ONCE: Mapping[str, bool] = {**REFUND["behaviour"], "idempotent": False}
"""Of a tool that must not be tried again."""


@dataclass
class FakeClock:
    """Time as an argument."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Shop:
    """The system of record, and the tool that changes it."""

    orders: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "O-1001": {"customer_id": CUSTOMER, "captured_minor": 12_000, "refunded_minor": 6_000},
            "O-1002": {"customer_id": CUSTOMER, "captured_minor": 50_000, "refunded_minor": 0},
            "O-2002": {
                "customer_id": "customers/c-9",
                "captured_minor": 9_000,
                "refunded_minor": 0,
            },
        },
    )
    error: str = ""

    async def gather(self, manifest, *, arguments, principal, session) -> Mapping[str, Fact]:
        del principal, session
        if "order" not in manifest.facts:
            return {}
        row = self.orders.get(str(arguments.get("order_id")))
        return {
            "order": Fact(
                name="order",
                source="shop",
                value=None if self.error or row is None else dict(row),
                error=self.error,
                absent=row is None and not self.error,
            ),
        }

    def refund(self, call: FrozenCall) -> Outcome:
        """Carry a refund out, without looking: keeping the money right is the broker's part."""
        arguments = call.invocation.call.arguments
        order = self.orders.get(str(arguments["order_id"]))
        if order is None:
            return Failed(code="NO_ORDER", message="There is no such order.")
        order["refunded_minor"] += arguments["amount_minor"]
        return Succeeded(result_json=b'{"refund_id":"r-1"}')


@dataclass
class World:
    """Everything that a test needs of a broker."""

    store: Any
    clock: FakeClock
    room: ControlRoom
    events: Events
    policy: FakeDecisionPoint
    runner: FakeRunner
    shop: Shop
    parts: Parts
    own: OwnWork
    mandates: Mandates
    sessions: Sessions
    artefacts: Artefacts
    invocations: Invocations
    permits: Permits
    enforcer: Enforcer
    resuming: Resuming
    recovery: Recovery
    shadowing: Shadowing
    views: HoldViews
    reviews: Reviews
    handling: Handling
    together: Together
    ids: UuidFactory
    agent: Credential
    requests: int = 0

    def use(self, **parts: Any) -> None:
        """Put the use cases together anew, with other parts."""
        self.parts = dataclasses.replace(self.parts, **parts)
        mediating = mediation(self.parts)
        for one in dataclasses.fields(mediating):
            setattr(self, one.name, getattr(mediating, one.name))

    async def put(self, *rows: Change) -> None:
        """Put control rows in force."""
        await self.store.commit(Unit(changes=rows, entries=()))
        await self.room.refresh()

    async def put_tool(self, document: Mapping[str, Any] = REFUND, **changed: Any) -> ToolManifest:
        manifest = parse({**document, **changed})
        await self.put(tool_row(manifest))
        return manifest

    async def grant(self, subject: str, scope: str, **where: Any) -> None:
        grant = Grant(
            name=f"grants/{self.ids()}",
            subject=subject,
            scope=Scope(name=scope, where=where),
            expires_at=0.0,
            reason="test",
            granted_by="test",
            created_at=self.clock(),
        )
        await self.put(grant_row(grant))

    async def freeze(self, kind: FreezeKind, subject: str = "", *, is_heard: bool = True) -> None:
        """Stop something; where it is not heard, as if another broker had done so."""
        freeze = Freeze(
            name=f"freezes/{self.ids()}",
            kind=kind,
            subject=subject,
            reason="test",
            frozen_by="test",
            created_at=self.clock(),
        )
        await self.store.commit(Unit(changes=(freeze_row(freeze),), entries=()))
        if is_heard:
            await self.room.refresh()

    async def caller(
        self,
        principal: str = CUSTOMER,
        *,
        scopes: tuple[str, ...] = ("refunds:write",),
        words: tuple[str, ...] = ("My lamp arrived broken.",),
        context: Context = Context.OPEN,
        parent: str = "",
    ) -> Caller:
        order = MandateOrder(
            principal=Principal(
                id=principal,
                person=Person(issuer="local", subject=principal),
                groups=("customers",),
            ),
            agent=self.agent.subject,
            context=context,
            parent=parent,
            words=words,
            scopes=tuple(Scope(name=s) for s in scopes),
        )
        host = credential(CredentialClass.HOST, "hosts/shop")
        _, secret = await self.mandates.create(host, order)
        session, session_secret = await self.sessions.open(self.agent, secret)
        return await self.sessions.caller(self.agent, session.name, session_secret)

    async def refund(
        self,
        caller: Caller,
        amount_minor: int = 1_000,
        *,
        order_id: str = "O-1001",
        request_id: str = "",
        **given: Any,
    ) -> Invocation:
        self.requests += 1
        arguments = f'{{"order_id":"{order_id}","amount_minor":{amount_minor},"currency":"EUR"}}'
        return await self.enforcer.invoke(
            caller,
            request_id=request_id or f"r{self.requests}",
            tool="refund",
            arguments_json=arguments.encode(),
            **given,
        )


def credential(
    credential_class: CredentialClass,
    subject: str,
    *,
    person: str = "",
    tools: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> Credential:
    return Credential(
        name=f"credentials/{subject}",
        credential_class=credential_class,
        subject=subject,
        person=Person(issuer="local", subject=person) if person else None,
        groups=groups,
        tools=tools,
        digest=subject.encode(),
        created_at=NOW,
        expires_at=NOW + 10**9,
    )


def reviewer(name: str, *groups: str, person: str = "") -> Reviewer:
    return Reviewer(
        name=name,
        person=Person(issuer="local", subject=person or name),
        groups=groups or ("leads",),
    )


class OnePolicy:
    """Implements `ports.Policies` with one decision point, whatever the revision."""

    def __init__(self, point: FakeDecisionPoint) -> None:
        self.point = point

    def at(self, revision: str) -> FakeDecisionPoint:
        del revision
        return self.point


def policy_in_force(revision: str = REVISION) -> PutControl:
    return policy_row(
        PolicyInForce(
            revision=revision,
            families=("test",),
            previous="",
            activated_at=NOW,
            activated_by="test",
        ),
    )


@contextlib.asynccontextmanager
async def world(path: Path, *, owner: str = "brokers/1", clock: FakeClock | None = None):
    """A broker whose customer may refund their own orders, and whose policy allows everything."""
    clock = clock or FakeClock()
    async with temporary_store(path, clock=clock) as store:
        built = await build(store, clock, owner=owner)
        await built.put(
            policy_in_force(),
            credential_row(built.agent),
            tool_row(parse(REFUND)),
        )
        await built.grant("groups/customers", "refunds:write")
        await built.grant(AGENT, "refunds:write")
        yield built
        await built.own.drain(within_s=5.0)


async def build(store: Any, clock: FakeClock, *, owner: str = "brokers/1") -> World:
    """A broker over a store that may have been used before."""
    events = Events()
    room = await ControlRoom.open(store=store, events=events)
    policy = FakeDecisionPoint(opinion(allow()))
    shop = Shop()
    runner = FakeRunner(shop.refund)
    ids = UuidFactory(clock)
    parts = Parts(
        store=store,
        room=room,
        policies=OnePolicy(policy),
        facts=shop,
        runner=runner,
        events=events,
        clock=clock,
        ids=ids,
        owner=owner,
        own=OwnWork(),
        terms=TERMS,
        exclusive_wait_s=2.0,
    )
    mediating = mediation(parts)
    return World(
        store=store,
        clock=clock,
        room=room,
        events=events,
        policy=policy,
        runner=runner,
        shop=shop,
        parts=parts,
        ids=ids,
        agent=credential(CredentialClass.AGENT, AGENT, person="agent-owner"),
        **{one.name: getattr(mediating, one.name) for one in dataclasses.fields(mediating)},
    )

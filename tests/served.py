"""A whole test broker behind a real gRPC server on loopback, with a token of each class.

Policy, facts and tools are fake (`tests.world`); the wire, the door and the store are real.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from broker.administration import Administration
from broker.core.calls import Person
from broker.core.control_rows import credential_row
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.unit import AddDocument
from broker.identity import Identity, new_token
from broker.ports import WorkerView
from broker.ports.access_tokens import AccessTokens
from broker.refusals import Refusals
from broker.rpc.server import RpcServer, UseCases
from broker.tools.worker import WorkerHub
from broker.v1 import (
    admin_pb2_grpc,
    broker_pb2_grpc,
    host_pb2_grpc,
    review_pb2_grpc,
    worker_pb2_grpc,
)
from tests.fakes.decision_point import REVISION
from tests.fakes.explainer import FakeExplainer
from tests.fakes.policy_room import FakeBundle, FakePolicyRoom
from tests.offices import administration
from tests.world import AGENT, NOW, World, world

RECHECK_S = 0.05
SUBJECTS = {
    CredentialClass.HOST: "hosts/shop",
    CredentialClass.AGENT: AGENT,
    CredentialClass.WORKER: "workers/shop",
    CredentialClass.REVIEWER: "lead-1",
    CredentialClass.OPERATOR: "operator-1",
    CredentialClass.AUDITOR: "auditor-1",
}


@dataclass
class Served:
    """A broker that listens.

    Attributes:
        tokens: one of each class.
        credentials: the same, without tokens.
    """

    world: World
    administration: Administration
    workers: WorkerHub
    channel: grpc.aio.Channel
    port: int
    explainer: FakeExplainer
    tokens: dict[CredentialClass, str] = field(default_factory=dict)
    credentials: dict[CredentialClass, Credential] = field(default_factory=dict)

    @property
    def host(self):
        return host_pb2_grpc.HostServiceStub(self.channel)

    @property
    def broker(self):
        return broker_pb2_grpc.BrokerServiceStub(self.channel)

    @property
    def worker(self):
        return worker_pb2_grpc.WorkerServiceStub(self.channel)

    @property
    def review(self):
        return review_pb2_grpc.ReviewServiceStub(self.channel)

    @property
    def admin(self):
        return admin_pb2_grpc.AdminServiceStub(self.channel)

    def by(self, credential_class: CredentialClass) -> tuple[tuple[str, str], ...]:
        """Metadata of whoever holds the credential of a class."""
        return bearer(self.tokens[credential_class])

    async def issue(
        self, credential_class: CredentialClass, subject: str = "", **given: object
    ) -> tuple[Credential, str]:
        """A credential in force, and its token."""
        token = new_token(credential_class)
        subject = subject or SUBJECTS[credential_class]
        wanted = {
            "name": f"credentials/{self.world.ids()}",
            "credential_class": credential_class,
            "subject": subject,
            "person": Person(issuer="local", subject=f"person of {subject}"),
            "groups": ("leads",) if credential_class is CredentialClass.REVIEWER else (),
            "tools": ("refund",) if credential_class is CredentialClass.WORKER else (),
            "digest": secret_digest(token),
            "created_at": self.world.clock(),
            "expires_at": self.world.clock() + 1_000_000,
        }
        credential = Credential(**{**wanted, **given})
        await self.world.put(credential_row(credential))
        return credential, token


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def kept_policy() -> AddDocument:
    """What is kept of the policy that `tests.world` has in force."""
    bundle = FakeBundle(files=(("test/rule", "says what a test tells it to"),))
    return AddDocument(digest=REVISION, kind="policy", at=NOW, body=bundle.to_bytes())


def server_of(
    world: World,
    workers: WorkerHub,
    office: Administration,
    *,
    instance: str = "brokers/1",
    access_tokens: AccessTokens | None = None,
    **terms: Any,
) -> RpcServer:
    """A server of these use cases, on no address yet; `terms` are its own."""
    return RpcServer(
        use_cases=UseCases(
            mandates=world.mandates,
            sessions=world.sessions,
            artefacts=world.artefacts,
            invocations=world.invocations,
            permits=world.permits,
            views=world.views,
            enforcer=world.enforcer,
            recovery=world.recovery,
            reviews=world.reviews,
            handling=world.handling,
            together=world.together,
            workers=workers,
            administration=office,
            instance=instance,
        ),
        identity=Identity(
            control=world.room.current, clock=world.clock, access_tokens=access_tokens
        ),
        refusals=Refusals(store=world.store, clock=world.clock),
        **terms,
    )


@contextlib.asynccontextmanager
async def served(path: Path, **terms: Any) -> AsyncGenerator[Served]:
    """Serve a test broker while the block runs; `terms` are the server's own."""
    async with world(path) as built:
        workers = WorkerHub(
            control=built.room.current, store=built.store, clock=built.clock, ids=built.ids
        )
        policies, explainer = FakePolicyRoom(), FakeExplainer()
        await built.put(kept_policy())
        office = administration(
            built.store,
            built.room,
            policies,
            clock=built.clock,
            events=built.events,
            workers=lambda: [
                WorkerView(name=c.name, tools=tuple(c.tools), free=c.free, slots=c.slots)
                for c in workers.connections
            ],
            explainer=explainer,
        )
        server = server_of(built, workers, office, recheck_s=RECHECK_S, **terms)
        port = server.bind("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                found = Served(built, office, workers, channel, port, explainer)
                for credential_class in CredentialClass:
                    made, token = await found.issue(credential_class)
                    found.credentials[credential_class] = made
                    found.tokens[credential_class] = token
                yield found
        finally:
            await server.stop(grace_s=0.2)
            await office.policies.close()

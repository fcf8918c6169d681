"""One gRPC server, hardened by its options; beyond this machine it speaks TLS or not at all.

The options bound what one client can cost the others: streams per connection, bytes of metadata and
of a message, pings, idle and old connections (measured against rapid resets, hoarded streams and
half-sent calls).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from broker.administration import Administration
from broker.artefacts import Artefacts
from broker.core.addresses import is_loopback
from broker.core.limits import (
    CREDENTIAL_RECHECK_S,
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
    STREAMS_OF_CREDENTIAL_MAX,
    WRITE_DEADLINE_S,
)
from broker.enforcer import Enforcer
from broker.enforcer.recovery import Recovery
from broker.identity import Identity
from broker.invocations import Invocations
from broker.mandates import Mandates
from broker.permits import Permits
from broker.refusals import WINDOW_S, Refusals
from broker.reviews import Handling, HoldViews, Reviews, Together
from broker.rpc.admin import AdminServicer
from broker.rpc.agents import BrokerServicer
from broker.rpc.door import Door
from broker.rpc.hosts import HostServicer
from broker.rpc.reviewers import ReviewServicer
from broker.rpc.workers import WorkerServicer
from broker.sessions import Sessions
from broker.tools.worker import WorkerHub
from broker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    broker_pb2,
    broker_pb2_grpc,
    host_pb2,
    host_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

HANDSHAKE_S: Final = 5.0
"""For a connection to say that it is one."""

STOP_S: Final = 7.0
"""For whoever is connected to end."""

OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.so_reuseport", 0),
    # Above what is taken (`limits.MESSAGE_BYTES_MAX`), so that the refusal is ours and is written
    # down; strangers' bodies are not read at all.
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES_MAX),
    # gRPC unpacks a message before it looks how large it is: sixteen megabytes would become
    # gigabytes, a stranger's too. So nothing that is compressed is taken (1 << GRPC_COMPRESS_NONE).
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_S * 1_000)),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 2),
    ("grpc.max_connection_idle_ms", 300_000),
)
SERVICES: Final = (
    *(
        file.DESCRIPTOR.services_by_name[name].full_name
        for file, name in (
            (host_pb2, "HostService"),
            (broker_pb2, "BrokerService"),
            (worker_pb2, "WorkerService"),
            (review_pb2, "ReviewService"),
            (admin_pb2, "AdminService"),
        )
    ),
)


class AddressRefused(ValueError):
    """The broker does not listen there; `str()` says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM of the server's certificate chain and private key.

    Attributes:
        client_ca: who signs the certificates of clients, each of which then has to show one.
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the services ask."""

    mandates: Mandates
    sessions: Sessions
    artefacts: Artefacts
    enforcer: Enforcer
    invocations: Invocations
    permits: Permits
    recovery: Recovery
    views: HoldViews
    reviews: Reviews
    handling: Handling
    together: Together
    workers: WorkerHub
    administration: Administration
    instance: str


class RpcServer:
    """The server and its services. For the event loop that it is made in."""

    def __init__(
        self,
        *,
        use_cases: UseCases,
        identity: Identity,
        refusals: Refusals,
        recheck_s: float = CREDENTIAL_RECHECK_S,
        write_deadline_s: float = WRITE_DEADLINE_S,
        streams_max: int = STREAMS_OF_CREDENTIAL_MAX,
        reflects: bool = True,
        takes_certificates: bool = False,
        within: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """Make one; it listens nowhere yet.

        Args:
            use_cases: what the services ask.
            identity: tells who asks.
            refusals: writes down who was turned away.
            recheck_s: seconds between two looks at a stream's credential.
            write_deadline_s: seconds that a reader has to take the next message of an answer.
            streams_max: that one credential has open at once.
            reflects: whether gRPC reflection is served.
            takes_certificates: whether every client shows one (`Tls.client_ca`).
            within: stand behind the door, so that they see what was let in alone.
        """
        self._refusals = refusals
        self._repeats = use_cases.enforcer.repeats
        self._health = HealthServicer()
        self._door = Door(
            identity=identity,
            refusals=refusals,
            recheck_s=recheck_s,
            write_deadline_s=write_deadline_s,
            streams_max=streams_max,
            takes_certificates=takes_certificates,
        )
        self._server = grpc.aio.server(interceptors=[self._door, *within], options=OPTIONS)
        self._flushing: asyncio.Task[None] | None = None
        self._add_services(use_cases)
        if reflects:
            self._reflect()

    def bind(self, address: str, tls: Tls | None = None) -> int:
        """Choose where to listen.

        Args:
            address: `127.0.0.1:7400`, `[::1]:7400`, `localhost:7400`; port 0 for any free one.
            tls: required for an address that is not this machine's alone.

        Returns:
            The port.

        Raises:
            AddressRefused: no TLS beyond loopback, not an address, or it is taken.
        """
        require_safe(address, tls)
        try:
            if tls is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise AddressRefused(
                f"Cannot listen on {address}: another process does, or this machine does not have "
                "that address. Stop the other, or choose another `listen` (CALLBROKER_LISTEN)."
            ) from error

    async def start(self) -> None:
        """Serve, and say so to health checks."""
        await self._server.start()
        await self._say(health_pb2.HealthCheckResponse.SERVING)
        self._flushing = asyncio.create_task(self._flush_now_and_then())

    async def say_stopping(self) -> None:
        """Say to health checks that it is about to stop; it still serves."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, *, grace_s: float) -> None:
        """Take nothing new, end streams with a hint, give the rest its time, and end."""
        await self._health.enter_graceful_shutdown()
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing
        self._door.end_streams()
        await self._server.stop(grace_s)
        await self._refusals.flush(everything=True)
        await self._repeats.flush(everything=True)

    async def wait(self) -> None:
        """Return once the server has ended."""
        # gRPC waits for one future here and in `stop`: cancelled here, it would be cancelled there.
        await asyncio.shield(self._server.wait_for_termination())

    def _add_services(self, use_cases: UseCases) -> None:
        add_host = host_pb2_grpc.add_HostServiceServicer_to_server
        add_host(HostServicer(mandates=use_cases.mandates), self._server)
        broker_pb2_grpc.add_BrokerServiceServicer_to_server(
            BrokerServicer(
                sessions=use_cases.sessions,
                enforcer=use_cases.enforcer,
                invocations=use_cases.invocations,
                permits=use_cases.permits,
                artefacts=use_cases.artefacts,
            ),
            self._server,
        )
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(
            WorkerServicer(hub=use_cases.workers, instance=use_cases.instance), self._server
        )
        review_pb2_grpc.add_ReviewServiceServicer_to_server(
            ReviewServicer(
                views=use_cases.views,
                reviews=use_cases.reviews,
                handling=use_cases.handling,
                together=use_cases.together,
            ),
            self._server,
        )
        admin_pb2_grpc.add_AdminServiceServicer_to_server(
            AdminServicer(administration=use_cases.administration, recovery=use_cases.recovery),
            self._server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def _reflect(self) -> None:
        names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._server)

    async def _say(self, status: Any) -> None:
        for service in ("", *SERVICES):
            await self._health.set(service, status)

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(WINDOW_S / 2)
            await self._refusals.flush()
            await self._repeats.flush()


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    pair = (tls.private_key, tls.certificate_chain)
    if tls.client_ca is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials(
        [pair], root_certificates=tls.client_ca, require_client_auth=True
    )


def require_safe(address: str, tls: Tls | None) -> None:
    """Refuse to speak in the clear to anybody but this machine.

    Raises:
        AddressRefused: it is not `host:port`, or beyond loopback without TLS.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise AddressRefused(f"{address!r} is not an address such as 127.0.0.1:7400.")
    if tls is None and not is_loopback(host):
        raise AddressRefused(
            f"{address} is not this machine alone, and anything else needs TLS: configure a "
            "certificate and its key, or listen on 127.0.0.1."
        )

"""One sandbox node: a channel that reconnects by itself, and what the node told last.

Each node is asked once a second, each time with a deadline, so that one which hangs costs nobody
else anything. What it told stays known while it is away: whether a call may run does not depend on
who answers just now, only whether it can.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import structlog

from broker.core.text import visible
from broker.sandbox_nodes.placement import NodeView, Pool
from broker.sandbox_nodes.reading import profiles_in
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc as pb_grpc

_log = structlog.get_logger(__name__)

POLL_INTERVAL_S: Final = 1.0
POLL_DEADLINE_S: Final = 2.0
MESSAGE_BYTES_MAX: Final = 32 * 1024 * 1024
PROBLEM_CHARACTERS_MAX: Final = 300
OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # What is compressed would be unpacked before it is looked how large it is.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # A call is handed over once: what may have reached a node is never sent again by itself.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_UNIX: Final = "unix:"
_jitter: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTls:
    """PEM of who signs nodes' certificates, and of the broker's own certificate chain and key."""

    ca: bytes
    certificate_chain: bytes
    private_key: bytes


class Node:
    """One node. For the event loop that it is started on.

    Attributes:
        view: what is known of it now.
        stub: its service, once started.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: NodeTls | None,
        changed: Callable[[], None],
        interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        """Make one; nothing is opened yet.

        Args:
            address: `unix:/path` or `host:port`; the latter is spoken to over TLS alone.
            tls: for `host:port`.
            changed: called whenever something else is known.
            interval_s: between two polls.

        Raises:
            ValueError: an address beyond this machine without TLS.
        """
        if tls is None and not address.startswith(_UNIX):
            raise ValueError(f"{address} is not a unix socket, and anything else needs TLS")
        self.view = NodeView(address=address)
        self._tls = tls
        self._changed = changed
        self._interval_s = interval_s
        self._wanted = asyncio.Event()
        self._taken: Counter[Pool] = Counter()
        self._channel: grpc.aio.Channel | None = None
        self._polling: asyncio.Task[None] | None = None

    @property
    def stub(self) -> "pb_grpc.SandboxServiceAsyncStub":
        """Its service.

        Raises:
            RuntimeError: it was not started, or is closed.
        """
        if self._channel is None:
            raise RuntimeError("This node is not open.")
        return pb_grpc.SandboxServiceStub(self._channel)

    async def start(self) -> None:
        """Ask it once, and from then on every second."""
        address = self.view.address
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=self._tls.ca,
                private_key=self._tls.private_key,
                certificate_chain=self._tls.certificate_chain,
            )
            self._channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
        await self.poll()
        self._polling = asyncio.create_task(self._poll_for_ever())

    async def close(self) -> None:
        """Ask no more, and end what is under way there. Twice is harmless."""
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def take(self, pool: Pool) -> None:
        """A slot is asked of it; what it told does not know that yet."""
        self._taken[pool] += 1
        self.view = replace(self.view, taken=dict(self._taken))

    def suspect(self, problem: str) -> None:
        """It failed a call: nobody else is sent there until it has answered again."""
        self._know(replace(self.view, is_ready=False, problem=problem))
        self._wanted.set()

    async def poll(self) -> None:
        """Ask it how it is; whatever goes wrong is what is known then."""
        before = self._taken.copy()
        try:
            async with asyncio.timeout(POLL_DEADLINE_S):
                health = await self.stub.CheckHealth(
                    pb.CheckHealthRequest(), timeout=POLL_DEADLINE_S
                )
                offered = await self.stub.ListProfiles(
                    pb.ListProfilesRequest(), timeout=POLL_DEADLINE_S
                )
        except TimeoutError:
            self._know(replace(self.view, is_ready=False, problem="It does not answer in time."))
        except grpc.aio.AioRpcError as error:
            self._know(replace(self.view, is_ready=False, problem=sentence(error)))
        else:
            # What was taken while it answered may not be in the answer.
            self._taken -= before
            self._know(self._told(health, offered))

    def _told(self, health: pb.CheckHealthResponse, offered: pb.ListProfilesResponse) -> NodeView:
        return NodeView(
            address=self.view.address,
            is_ready=health.healthy,
            problem=visible(health.problem, characters_max=PROBLEM_CHARACTERS_MAX),
            profiles=profiles_in(offered),
            warm={(pool.image, pool.profile): pool.warm for pool in health.pools},
            room=max(health.containers_max - health.containers, 0),
            taken=dict(self._taken),
        )

    def _know(self, view: NodeView) -> None:
        was, self.view = self.view, view
        if was.is_ready and not view.is_ready:
            _log.warning("sandbox_node_away", node=view.address, problem=view.problem)
        elif view.is_ready and not was.is_ready:
            _log.info("sandbox_node_there", node=view.address)
        self._changed()

    async def _poll_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s * _jitter.uniform(0.8, 1.2)):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.poll()
            except Exception as error:  # noqa: BLE001 - one that fails must not end all
                _log.exception("sandbox_node_not_polled", node=self.view.address)
                problem = f"It could not be asked: {type(error).__name__}."
                self._know(replace(self.view, is_ready=False, problem=problem))


def sentence(error: grpc.aio.AioRpcError) -> str:
    """What went wrong, fit to be shown."""
    told = error.details() or error.code().name
    if error.code() is grpc.StatusCode.UNAVAILABLE and told.startswith("failed to connect"):
        told = (
            "There is no connection: start `callbroker sandboxd` there, or mend the address or the "
            f"TLS files of sandboxes.nodes ({told.rpartition('last error: ')[2]})."
        )
    return visible(told, characters_max=PROBLEM_CHARACTERS_MAX)

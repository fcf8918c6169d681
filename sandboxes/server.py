"""The node's gRPC service: what comes is checked and converted, what ended goes back as it ended.

Whoever closes the stream gives the container up: before its call it goes back unused, after it it
is killed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from sandboxes.egress.journal import EgressRequest
from sandboxes.entry.frames import File
from sandboxes.node import Node, Ran, Reservation
from sandboxes.profile import Profile
from sandboxes.profiles import tightens
from sandboxes.refusals import CODES, Reason, Refused
from sandboxes.supervise import CallOrder, Ending
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc

MESSAGE_BYTES_MAX: Final = 32 << 20
WAIT_S_MAX: Final = 30.0
CALL_WITHIN_S: Final = 60.0
DOMAIN: Final = "sandboxes.v1"
REASON_KEY: Final = "callbroker-reason"
DETAILS_KEY: Final = "grpc-status-details-bin"
_SENTENCE_CHARACTERS_MAX: Final = 2_500
OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # What is compressed would be unpacked before it is looked how large it is.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_metadata_size", 16_384),
    ("grpc.absolute_max_metadata_size", 16_384),
    ("grpc.max_concurrent_streams", 200),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 2),
)
_ENDINGS: Final = {
    Ending.ANSWERED: pb.ENDING_ANSWERED,
    Ending.TOOL_FAILED: pb.ENDING_TOOL_FAILED,
    Ending.BROKEN: pb.ENDING_BROKEN,
    Ending.KILLED: pb.ENDING_KILLED,
    Ending.UNKNOWN: pb.ENDING_UNKNOWN,
}


class SandboxServicer(sandboxes_pb2_grpc.SandboxServiceServicer):
    """The service of one node."""

    def __init__(self, node: Node) -> None:
        """Serve a node that was started."""
        self._node = node

    # Not a generator: cancelled, its `finally` runs at once.
    async def Run(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.RunRequest], context: Any
    ) -> None:
        """Reserve, Ready, Call, Result."""
        reservation: Reservation | None = None
        try:
            reservation = await self._reserve(request_iterator)
            await context.write(pb.RunResponse(ready=_ready(reservation)))
            call = await _next(request_iterator, "call")
            if call is not None:
                ran = await self._node.run(reservation, _call_order(call.call))
                await context.write(pb.RunResponse(result=_result(ran)))
        except Refused as refused:
            _refuse(context, refused)
        finally:
            if reservation is not None:
                self._node.release(reservation)

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelResponse:
        """Kill a run's container."""
        try:
            self._node.cancel(request.run)
        except Refused as refused:
            _refuse(context, refused)
        return pb.CancelResponse()

    async def ListImages(
        self, request: pb.ListImagesRequest, context: Any
    ) -> pb.ListImagesResponse:
        """Images that may run, and what keeps the others from it."""
        del request
        try:
            found = await self._node.images()
        except Refused as refused:
            _refuse(context, refused)
            return pb.ListImagesResponse()
        return pb.ListImagesResponse(
            images=[
                pb.Image(
                    digest=image.digest,
                    names=image.names,
                    size_bytes=image.size_bytes,
                    findings=findings,
                )
                for image, findings in found
            ]
        )

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: Any
    ) -> pb.ListProfilesResponse:
        """All profiles, given or not."""
        del request, context
        profiles = self._node.order.profiles.values()
        return pb.ListProfilesResponse(profiles=[self._profile(each) for each in profiles])

    async def CheckHealth(
        self, request: pb.CheckHealthRequest, context: Any
    ) -> pb.CheckHealthResponse:
        """How the node is."""
        del request, context
        node = self._node
        return pb.CheckHealthResponse(
            healthy=not node.problem,
            problem=node.problem,
            pools=[
                pb.Pool(
                    image=pool.image,
                    profile=pool.profile.name,
                    warm=len(pool.ready),
                    busy=len(pool.busy),
                )
                for pool in node.pools.pools
            ],
            containers_max=node.order.limits.containers_max,
            containers=node.pools.count,
            quarantined=node.quarantined,
            runs=node.runs,
        )

    async def _reserve(self, requests: AsyncIterator[pb.RunRequest]) -> Reservation:
        first = await _next(requests, "reserve")
        if first is None:
            raise Refused(Reason.BAD_REQUEST, "The stream ended before anything was reserved.")
        reserve = first.reserve
        wait_s = reserve.wait.ToTimedelta().total_seconds()
        if not 0 <= wait_s <= WAIT_S_MAX:
            raise Refused(Reason.BAD_REQUEST, f"wait is not from 0 to {WAIT_S_MAX:g} s.")
        return await self._node.reserve(
            image=reserve.image,
            profile=reserve.profile,
            profile_digest=reserve.profile_digest,
            wait_s=wait_s,
        )

    def _profile(self, profile: Profile) -> pb.Profile:
        because = self._node.unavailable_because(profile)
        return pb.Profile(
            name=profile.name,
            digest=profile.digest,
            description=profile.description,
            available=not because,
            unavailable_because=because,
            tightens=sorted(
                name
                for name, other in self._node.order.profiles.items()
                if tightens(profile, other)
            ),
            isolated=profile.isolated,
            deadline_max=_duration(profile.wall_s_max),
        )


class NodeServer:
    """The server and its services. For the event loop that it is made in."""

    def __init__(self, node: Node) -> None:
        """Make one; it listens nowhere yet."""
        self._server = grpc.aio.server(options=OPTIONS)
        self._health = HealthServicer()
        add = sandboxes_pb2_grpc.add_SandboxServiceServicer_to_server
        add(SandboxServicer(node), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def bind_socket(self, path: Path) -> None:
        """Listen on a unix socket of this machine.

        Raises:
            RuntimeError: it cannot be made there.
        """
        self._server.add_insecure_port(f"unix:{path}")

    def bind_address(self, address: str, *, certificate: bytes, key: bytes, clients: bytes) -> int:
        """Listen for other machines: TLS, and only clients whose certificate `clients` signed.

        Args:
            address: `host:port`; port 0 for any free one.
            certificate: PEM chain of this server.
            key: PEM.
            clients: PEM of the authority; whoever it signed may run anything here.

        Returns:
            The port.

        Raises:
            RuntimeError: the address is taken, or not this machine's.
        """
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], root_certificates=clients, require_client_auth=True
        )
        return self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Serve."""
        await self._server.start()
        name = pb.DESCRIPTOR.services_by_name["SandboxService"].full_name
        for service in ("", name):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, *, grace_s: float) -> None:
        """Take nothing new, give what is under way its time, and end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Return once the server has ended."""
        # gRPC waits for one future here and in `stop`: cancelled here, it would be cancelled there.
        await asyncio.shield(self._server.wait_for_termination())


async def _next(requests: AsyncIterator[pb.RunRequest], kind: str) -> pb.RunRequest | None:
    """The next message of a stream; None at its end.

    Raises:
        Refused: nothing came in time, or another kind.
    """
    try:
        async with asyncio.timeout(CALL_WITHIN_S):
            message = await anext(requests, None)
    except TimeoutError:
        raise Refused(Reason.BAD_REQUEST, f"No {kind} came in {CALL_WITHIN_S:g} s.") from None
    if message is not None and message.WhichOneof("message") != kind:
        raise Refused(Reason.BAD_REQUEST, f"A {kind} is due now, and nothing else.")
    return message


def _refuse(context: Any, refused: Refused) -> None:
    """Have the call end with a status. Not by `abort`: that leaves the call to the collector."""
    code = grpc.StatusCode[CODES[refused.reason]]
    message = str(refused)[:_SENTENCE_CHARACTERS_MAX]
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=refused.reason.value, domain=DOMAIN))
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    trailing = ((REASON_KEY, refused.reason.value), (DETAILS_KEY, status.SerializeToString()))
    context.set_code(code)
    context.set_details(message)
    context.set_trailing_metadata(trailing)


def _ready(reservation: Reservation) -> pb.Ready:
    return pb.Ready(
        run=reservation.run,
        warm=reservation.warm,
        profile_digest=reservation.profile.digest,
        isolated=reservation.profile.isolated,
    )


def _call_order(call: pb.Call) -> CallOrder:
    return CallOrder(
        input_json=call.input_json,
        files=tuple(File(name=each.name, content=each.content) for each in call.files),
        deadline_s=call.deadline.ToTimedelta().total_seconds(),
        subject=call.subject,
    )


def _result(ran: Ran) -> pb.Result:
    outcome = ran.outcome
    return pb.Result(
        ending=_ENDINGS[outcome.ending],
        code=outcome.code,
        message=outcome.message,
        result_json=outcome.result_json,
        files=[pb.File(name=each.name, content=each.content) for each in outcome.files],
        requests=[_request(each) for each in ran.requests],
        requests_cut=ran.requests_cut,
        exit_code=outcome.exit_code,
        out_of_memory=outcome.out_of_memory,
        took=_duration(outcome.took_s),
    )


def _request(made: EgressRequest) -> pb.EgressRequest:
    at = timestamp_pb2.Timestamp()
    at.FromNanoseconds(int(made.at * 1e9))
    return pb.EgressRequest(
        at=at,
        method=made.method,
        host=made.host,
        port=made.port,
        path=made.path,
        address=made.address,
        allowed=made.allowed,
        code=made.code,
        response_code=made.response_code,
        sent_bytes=made.sent_bytes,
        received_bytes=made.received_bytes,
        credential=made.credential,
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration

"""A transport carries one request and brings one answer or raises a BrokerError; it never repeats.

Each of the two clients has one over gRPC; `broker.sdk.testing` has both without a network. grpc.aio
belongs to the first event loop that touches it, so that the channel is made on opening, not before.
"""

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Any, Protocol, cast

import grpc

from broker.sdk.configuration import Audience, Settings
from broker.sdk.errors import BrokerError, NotPermitted, Unauthenticated, Unavailable, error_from
from broker.sdk.methods import A, Method, Q


class Transport(Protocol):
    """What the async client needs."""

    async def open(self) -> None:
        """Before the first call, on the loop that makes the calls."""

    async def close(self) -> None:
        """After the last."""

    async def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        """One RPC.

        Raises:
            BrokerError: there is no answer.
        """

    async def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        """One RPC that takes many messages; raises as `call`."""

    def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> AsyncGenerator[A, None]:
        """One RPC that answers with many messages; raises as `call`."""


class SyncTransport(Protocol):
    """What the sync client needs."""

    def open(self) -> None:
        """Before the first call."""

    def close(self) -> None:
        """After the last."""

    def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        """One RPC.

        Raises:
            BrokerError: there is no answer.
        """

    def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        """One RPC that takes many messages; raises as `call`."""

    def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> Generator[A, None, None]:
        """One RPC that answers with many messages; raises as `call`."""


def open_channel(settings: Settings) -> grpc.aio.Channel:
    """A channel on the running loop."""
    credentials, options = settings.credentials(), settings.options()
    if credentials is None:
        return grpc.aio.insecure_channel(settings.address, options=options)
    return grpc.aio.secure_channel(settings.address, credentials, options=options)


class GrpcTransport:
    """Over grpc.aio."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}

    async def open(self) -> None:
        """Makes the channel; it connects with the first call."""
        self._channel = open_channel(self._settings)

    async def close(self) -> None:
        """Ends what is under way."""
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            await channel.close()

    async def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        """One RPC."""
        if method.path not in self._callables:
            self._callables[method.path] = _stub(self._channel, "unary_unary", method)
        metadata = self._settings.metadata(method.audience)
        try:
            answer = await self._callables[method.path](
                request, timeout=deadline_s, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise told(error, self._settings, method.audience) from None
        return cast("A", answer)

    async def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        """One RPC that takes many messages."""
        metadata = self._settings.metadata(method.audience)
        stub = _stub(self._channel, "stream_unary", method)
        try:
            answer = await stub(iter(requests), timeout=deadline_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise told(error, self._settings, method.audience) from None
        return cast("A", answer)

    async def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> AsyncGenerator[A, None]:
        """One RPC that answers with many messages."""
        metadata = self._settings.metadata(method.audience)
        stub = _stub(self._channel, "unary_stream", method)
        stream = stub(request, timeout=deadline_s, metadata=metadata)
        try:
            async for answer in stream:
                yield cast("A", answer)
        except grpc.aio.AioRpcError as error:
            raise told(error, self._settings, method.audience) from None
        finally:
            stream.cancel()


class SyncGrpcTransport:
    """Over blocking gRPC; any thread may use it, a fork may not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._channel: grpc.Channel | None = None
        self._callables: dict[str, Any] = {}

    def open(self) -> None:
        """Makes the channel; it connects with the first call."""
        credentials, options = self._settings.credentials(), self._settings.options()
        if credentials is None:
            self._channel = grpc.insecure_channel(self._settings.address, options=options)
        else:
            self._channel = grpc.secure_channel(
                self._settings.address, credentials, options=options
            )

    def close(self) -> None:
        """Ends what is under way."""
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            channel.close()

    def call(self, method: Method[Q, A], request: Q, *, deadline_s: float) -> A:
        """One RPC."""
        if method.path not in self._callables:
            self._callables[method.path] = _stub(self._channel, "unary_unary", method)
        metadata = self._settings.metadata(method.audience)
        try:
            answer = self._callables[method.path](request, timeout=deadline_s, metadata=metadata)
        except grpc.RpcError as error:
            raise told(error, self._settings, method.audience) from None
        return cast("A", answer)

    def send(self, method: Method[Q, A], requests: Iterable[Q], *, deadline_s: float) -> A:
        """One RPC that takes many messages."""
        metadata = self._settings.metadata(method.audience)
        stub = _stub(self._channel, "stream_unary", method)
        try:
            answer = stub(iter(requests), timeout=deadline_s, metadata=metadata)
        except grpc.RpcError as error:
            raise told(error, self._settings, method.audience) from None
        return cast("A", answer)

    def receive(
        self, method: Method[Q, A], request: Q, *, deadline_s: float
    ) -> Generator[A, None, None]:
        """One RPC that answers with many messages."""
        metadata = self._settings.metadata(method.audience)
        stub = _stub(self._channel, "unary_stream", method)
        stream = stub(request, timeout=deadline_s, metadata=metadata)
        try:
            for answer in stream:
                yield cast("A", answer)
        except grpc.RpcError as error:
            raise told(error, self._settings, method.audience) from None
        finally:
            stream.cancel()


def _stub(channel: Any, kind: str, method: Method[Any, Any]) -> Any:
    """What calls a method; `kind` is gRPC's word for how many messages go and come."""
    if channel is None:
        raise RuntimeError("The broker is not connected: `async with connect() as broker` does it.")
    return getattr(channel, kind)(
        method.path,
        request_serializer=method.request.SerializeToString,
        response_deserializer=method.response.FromString,
    )


def told(error: Any, settings: Settings, audience: Audience) -> BrokerError:
    """What an RPC's error means in this process, which has several tokens and may be far away.

    Args:
        error: a grpc.RpcError that is also the call: both kinds have the three that are read.
        settings: that it was asked with.
        audience: whose token was sent.
    """
    found = error_from(error.code(), error.details(), error.trailing_metadata())
    match found:
        case Unavailable() if found.reason == grpc.StatusCode.UNAVAILABLE.name:
            why = str(found)
            if why.startswith("failed to connect"):  # gRPC's list of attempts ends in the cause
                why = f"{why.rpartition(': ')[2]}. Does it run there? (CALLBROKER_ADDRESS)"
            return Unavailable(f"The broker at {settings.address} does not answer: {why}")
        case Unauthenticated():  # often another broker, on the address that is asked by default
            why = (
                f"{found} It was asked at {settings.address} (CALLBROKER_ADDRESS) with "
                f"{_token(audience)}: is that the broker that the token is of?"
            )
            return Unauthenticated(why, reason=found.reason)
        case NotPermitted():
            why = f"{found} It was asked with {_token(audience)}."
            return NotPermitted(why, reason=found.reason)
        case _:
            return found


def _token(audience: Audience) -> str:
    return f"the {audience} token (CALLBROKER_{audience.upper()}_TOKEN)"

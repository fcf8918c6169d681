"""Nobody reaches a service but through here: known, of the right class, and watched while inside.

The token is looked at before the body is read, so that a stranger's megabytes are never taken in.
A stream's credential is looked at again every few seconds; one that was revoked or has expired ends
it. Whatever goes wrong leaves as a status, and what was turned away leaves an audit entry, be the
caller at fault or a part that is away; only while the store is away nothing can be written down.
"""

import asyncio
import contextlib
import contextvars
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
import structlog

from broker.core.audit import EntryKind
from broker.core.credentials import Credential
from broker.core.errors import (
    BrokerError,
    CallerError,
    Defect,
    IssuerUnavailable,
    LimitExceeded,
    MalformedRequest,
    PolicyUnavailable,
    RunnerUnavailable,
)
from broker.core.limits import (
    CREDENTIAL_RECHECK_S,
    MESSAGE_BYTES_MAX,
    STREAMS_OF_CREDENTIAL_MAX,
    WRITE_DEADLINE_S,
)
from broker.identity import NO_NAMES, Identity
from broker.own_work import stopping
from broker.refusals import Refusal, Refusals
from broker.rpc.admission import OPEN_SERVICES, admitted_to
from broker.rpc.certificates import certificate_names
from broker.rpc.decoding import all_read, must_be_read, tolerant
from broker.rpc.status import status_of
from broker.rpc.streams import Streams

_log = structlog.get_logger(__name__)
_credential: contextvars.ContextVar[Credential] = contextvars.ContextVar("credential")

# Invoke itself writes down what was wrong with arguments.
_SAID_BY_THE_ENFORCER: Final = ("broker.v1.BrokerService/Invoke", "arguments_json")

_WRITTEN_DOWN: Final = (CallerError, IssuerUnavailable, PolicyUnavailable, RunnerUnavailable)

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
# No generics at run time.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
# The stubs type handlers for the blocking server; ours are coroutines and asynchronous generators.
_Behaviour: TypeAlias = Callable[[Any, Any], Any]
_T = TypeVar("_T")


def authenticated() -> Credential:
    """Who calls the method that runs now."""
    return _credential.get()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One call of one method. `credential` is None where nobody was recognised."""

    rpc: str
    credential: Credential | None


class Door(grpc.aio.ServerInterceptor):
    """The one interceptor."""

    def __init__(
        self,
        *,
        identity: Identity,
        refusals: Refusals,
        recheck_s: float = CREDENTIAL_RECHECK_S,
        write_deadline_s: float = WRITE_DEADLINE_S,
        takes_certificates: bool = False,
        streams_max: int = STREAMS_OF_CREDENTIAL_MAX,
    ) -> None:
        """Make one.

        Args:
            identity: tells who asks.
            refusals: writes down who was turned away.
            recheck_s: seconds between two looks at a stream's credential.
            write_deadline_s: seconds that a reader has to take the next message of an answer.
            takes_certificates: whether every connection has shown one.
            streams_max: that one credential has open at once.
        """
        self._identity = identity
        self._takes_certificates = takes_certificates
        self._refusals = refusals
        self._recheck_s = recheck_s
        self._write_deadline_s = write_deadline_s
        self._streams = Streams(most=streams_max)
        self._stopped = asyncio.Event()

    def end_streams(self) -> None:
        """End each stream, and say why: whoever follows asks another broker, or comes again."""
        self._stopped.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Found]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Found:
        """Let a call in, or give it a handler that only refuses."""
        handler = await continuation(handler_call_details)
        rpc = handler_call_details.method.lstrip("/")
        if handler is None or rpc.partition("/")[0] in OPEN_SERVICES:
            return handler
        visit = _Visit(rpc=rpc, credential=None)
        if self._takes_certificates and not _has_authorization(handler_call_details):
            # Only a method sees what was shown in the handshake, which no stranger gets through.
            return self._guarded(handler, visit)
        try:
            credential = await self._identity.recognise(
                _authorization(handler_call_details), admitted_to(rpc)
            )
            visit = _Visit(rpc=rpc, credential=credential)
            self._identity.admit(credential, admitted_to(rpc))
        except (CallerError, IssuerUnavailable) as error:
            return self._refusing(visit, error)
        return self._guarded(handler, visit)

    def _refusing(self, visit: _Visit, error: BrokerError) -> _Handler:
        """A streaming handler, whatever the method is: it does not wait for the body."""

        @_leaving_nothing
        async def refuse(_: object, context: _Context) -> None:
            await self._fail(visit, context, error)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _guarded(self, handler: _Handler, visit: _Visit) -> _Handler:
        with_codec: dict[str, Any] = {
            "request_deserializer": tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            unary = self._unary(handler.unary_unary, visit)
            return grpc.unary_unary_rpc_method_handler(unary, **with_codec)
        if handler.stream_unary is not None:
            taking = self._taking(_of_messages(handler.stream_unary), visit)
            return grpc.stream_unary_rpc_method_handler(taking, **with_codec)
        if handler.unary_stream is not None:
            stream = self._stream(
                _of_message(handler.unary_stream), visit, write_deadline_s=self._write_deadline_s
            )
            return grpc.unary_stream_rpc_method_handler(stream, **with_codec)
        if handler.stream_stream is not None:
            stream = self._stream(_of_messages(handler.stream_stream), visit)
            return grpc.stream_stream_rpc_method_handler(stream, **with_codec)
        raise Defect(f"{visit.rpc} is of a kind that this server does not have.")

    def _unary(self, inner: _Behaviour, visit: _Visit) -> Any:
        @_leaving_nothing
        async def behaviour(request: Any, context: _Context) -> Any:
            async def answer(_: Credential) -> Any:
                return await inner(_sound(request), context)

            return await self._inside(visit, context, answer)

        return behaviour

    def _taking(self, inner: _Behaviour, visit: _Visit) -> Any:
        """Many messages in, one out; what they may be is for the method to say."""

        @_leaving_nothing
        async def behaviour(requests: Any, context: _Context) -> Any:
            async def answer(credential: Credential) -> Any:
                return await self._while_good(credential, inner(requests, context))

            return await self._inside(visit, context, answer)

        return behaviour

    def _stream(
        self, inner: _Behaviour, visit: _Visit, *, write_deadline_s: float | None = None
    ) -> Any:
        @_leaving_nothing
        async def behaviour(request: Any, context: _Context) -> None:
            async def answer(credential: Credential) -> None:
                # Otherwise nobody can tell a stream that is let in and waits from one that is not.
                await context.send_initial_metadata(())
                messages = inner(request, context)
                await self._while_good(credential, _written(messages, context, write_deadline_s))

            await self._inside(visit, context, answer)

        return behaviour

    async def _inside(
        self, visit: _Visit, context: _Context, answer: Callable[[Credential], Awaitable[_T]]
    ) -> _T:
        try:
            credential = self._let_in(visit, context)
            visit = _Visit(rpc=visit.rpc, credential=credential)
            _credential.set(credential)
            structlog.contextvars.bind_contextvars(rpc=visit.rpc, caller=credential.subject)
            return await answer(credential)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as a status
            await self._fail(visit, context, _told(error))

    def _let_in(self, visit: _Visit, context: _Context) -> Credential:
        """Whoever a token has shown, with the certificate that it must come with; or that alone."""
        credential, wanted = visit.credential, admitted_to(visit.rpc)
        if credential is not None and not credential.certificate_san:
            return credential
        names = certificate_names(context.auth_context()) if self._takes_certificates else NO_NAMES
        if credential is None:
            credential = self._identity.by_certificate(names, wanted)
            self._identity.admit(credential, wanted)
        else:
            self._identity.require_certificate(credential, names)
        return credential

    async def _while_good(self, credential: Credential, work: Awaitable[_T]) -> _T:
        """Do the work of a stream for as long as its credential is good."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        until = {task, stopped}
        try:
            with self._streams.one_more(credential.name):
                while True:
                    await asyncio.wait(
                        until, timeout=self._recheck_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if task.done():
                        return await task
                    if stopped.done():
                        raise stopping()
                    self._identity.recheck(credential)
        finally:
            stopped.cancel()
            task.cancel()
            await asyncio.wait({task})
            # What it raised knows this frame, which would know it: they would outlive the call.
            del task, until

    async def _fail(self, visit: _Visit, context: _Context, error: BrokerError) -> NoReturn:
        if isinstance(error, _WRITTEN_DOWN):
            await self._note(visit, context, error)
        status = status_of(error)
        await context.abort(status.code, status.message, status.trailing)
        raise error  # abort has raised: only for the type checker

    async def _note(self, visit: _Visit, context: _Context, error: BrokerError) -> None:
        field = error.metadata.get("field", "")
        if (visit.rpc, field) == _SAID_BY_THE_ENFORCER:
            return
        malformed = isinstance(error, MalformedRequest)
        credential = visit.credential
        await self._refusals.note(
            Refusal(
                kind=EntryKind.REQUEST_MALFORMED if malformed else EntryKind.REQUEST_REFUSED,
                reason=error.reason,
                rpc=visit.rpc,
                actor=credential.subject if credential else "",
                knocker=credential.name if credential else _host(context.peer()),
                credential_class=credential.credential_class if credential else "",
                field=field,
            )
        )


def _told(error: Exception) -> BrokerError:
    """What a client is told; of a defect, only where in the log to look."""
    if isinstance(error, BrokerError) and not isinstance(error, Defect):
        return error
    correlation = secrets.token_hex(8)
    _log.error("rpc_failed", correlation=correlation, exc_info=error)
    return Defect(
        f"Something broke in the broker; its log has it under {correlation}.",
        metadata={"correlation": correlation},
    )


async def _written(
    messages: AsyncGenerator[Any], context: _Context, deadline_s: float | None
) -> None:
    """Send each message. One task does all of it, so that a generator's blocks close in it too.

    Raises:
        LimitExceeded: nobody reads.
    """
    async with contextlib.aclosing(messages):
        async for message in messages:
            try:
                async with asyncio.timeout(deadline_s):
                    await context.write(message)
            except TimeoutError:
                raise LimitExceeded("Nobody reads this stream.") from None


def _leaving_nothing(behaviour: _Behaviour) -> _Behaviour:
    """The same, of which nothing outlives a call that is refused.

    What `abort` raises is kept by the call, and would keep the call by the frames that it has come
    through, until the collector comes by. gRPC counts such a call as open: a connection that has a
    hundred of them takes no more, and with nothing to do the collector does not come.
    """

    async def cut(request: Any, context: _Context) -> Any:
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError as aborted:
            del request, context
            aborted.__context__ = None
            raise aborted.with_traceback(None) from None

    return cut


def _sound(request: Any) -> Any:
    """A request as it came.

    Raises:
        MalformedRequest: its bytes were no such message.
        LimitExceeded: it is too large.
    """
    must_be_read(request)
    if request.ByteSize() > MESSAGE_BYTES_MAX:
        raise LimitExceeded(f"A message has at most {MESSAGE_BYTES_MAX} bytes.")
    return request


def _of_message(inner: _Behaviour) -> _Behaviour:
    return lambda request, context: inner(must_be_read(request), context)


def _of_messages(inner: _Behaviour) -> _Behaviour:
    return lambda requests, context: inner(all_read(requests), context)


def _has_authorization(details: grpc.HandlerCallDetails) -> bool:
    return any(key == "authorization" for key, _ in details.invocation_metadata or ())


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    """The one authorization header; with two of them nobody knows which one counts."""
    values = [value for key, value in details.invocation_metadata or () if key == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    return values[0]


def _host(peer: str) -> str:
    """`ipv4:127.0.0.1` of `ipv4:127.0.0.1:50412`: a new port is not a new knocker."""
    return peer.rpartition(":")[0] or peer

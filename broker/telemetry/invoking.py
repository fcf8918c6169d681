"""Where a trace begins: inside the door, so that strangers have none.

An agent's `traceparent` (W3C Trace Context §3.2) is taken for what it is, an agent's word: one that
is well-formed becomes a link. Its sampling flag, `tracestate` and baggage are not looked at.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

import grpc

from broker.telemetry.tracing import Link, Tracing
from broker.v1 import types_pb2

INVOKE: Final = "/broker.v1.BrokerService/Invoke"
_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", re.ASCII)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class TracedInvoke(grpc.aio.ServerInterceptor):
    """Stands behind the door, and tells of every Invoke."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """The method itself, told of where it is Invoke."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method != INVOKE:
            return handler
        inner: Any = handler.unary_unary

        async def invoke(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            link = link_of(context.invocation_metadata() or ())
            with self._tracing.asked(request.tool, link=link) as answered:
                response = await inner(request, context)
                said = response.invocation
                answered(said.name, _state(said.state))
                return response

        with_codec: dict[str, Any] = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        told: Any = invoke  # the stubs type handlers for the blocking server
        return grpc.unary_unary_rpc_method_handler(told, **with_codec)


def link_of(metadata: Iterable[tuple[str, str | bytes]]) -> Link | None:
    """The trace and span that a request says it is part of; None of more than one, or of none."""
    said = [value for key, value in metadata if key == "traceparent"]
    if len(said) != 1 or not isinstance(said[0], str):
        return None
    parts = _PARENT.fullmatch(said[0])
    if parts is None:
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    return (trace_id, span_id) if trace_id and span_id else None


def _state(number: Any) -> str:
    return types_pb2.Invocation.State.Name(number).removeprefix("STATE_")

"""Spans in the form of the OpenTelemetry protocol (OTLP 1.x, protobuf)."""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Out
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from broker.telemetry.spans import SAMPLED_RANDOM, Attribute, Kind, Span

SCOPE: Final = "callbroker"
_AT_ONCE: Final = 32
_KINDS: Final = {
    Kind.INTERNAL: Out.SPAN_KIND_INTERNAL,
    Kind.SERVER: Out.SPAN_KIND_SERVER,
    Kind.CLIENT: Out.SPAN_KIND_CLIENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Who tells: a service, its version and which broker of several."""

    service: str
    version: str
    instance: str


async def encoded(resource: Resource, spans: Sequence[Span]) -> bytes:
    """One request with all of them; whatever else waits on the loop has its turn meanwhile."""
    request = ExportTraceServiceRequest()
    told = request.resource_spans.add()
    told.resource.attributes.extend(
        _attributes(
            {
                "service.name": resource.service,
                "service.version": resource.version,
                "service.instance.id": resource.instance,
            }
        )
    )
    scope = told.scope_spans.add()
    scope.scope.name, scope.scope.version = SCOPE, resource.version
    for first in range(0, len(spans), _AT_ONCE):
        scope.spans.extend(_out(span) for span in spans[first : first + _AT_ONCE])
        await asyncio.sleep(0)
    return request.SerializeToString()


def _out(span: Span) -> Out:
    out = Out(
        trace_id=span.trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent_id.to_bytes(8, "big") if span.parent_id else b"",
        flags=SAMPLED_RANDOM,
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.begun_ns,
        end_time_unix_nano=max(span.ended_ns, span.begun_ns),
        attributes=_attributes(span.attributes),
    )
    if span.error:
        out.attributes.append(_attribute("error.type", span.error))
    if span.is_failure:
        out.status.code = Status.STATUS_CODE_ERROR
    if span.link is not None:
        trace_id, span_id = span.link
        out.links.add(trace_id=trace_id.to_bytes(16, "big"), span_id=span_id.to_bytes(8, "big"))
    return out


def _attributes(attributes: Mapping[str, Attribute]) -> list[KeyValue]:
    return [_attribute(key, value) for key, value in attributes.items()]


@functools.lru_cache(maxsize=1_024, typed=True)  # most are said of every call, and are copied
def _attribute(key: str, value: Attribute) -> KeyValue:
    return KeyValue(key=key, value=_value(value))


def _value(value: Attribute) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case str():
            return AnyValue(string_value=value)
        case tuple():
            return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))

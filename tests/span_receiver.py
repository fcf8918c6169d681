"""Whoever spans are sent to: takes OTLP in, and says what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.notice_receiver import Received

PATH = "/v1/traces"


@dataclass(frozen=True, kw_only=True)
class Told:
    """One span, as it came."""

    name: str
    trace: str
    id: str
    parent: str
    begun_ns: int
    ended_ns: int
    is_error: bool
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]


def told(received: Sequence[Received]) -> list[Told]:
    """All spans of these requests, in the order in which they came."""
    spans = []
    for one in received:
        request = ExportTraceServiceRequest.FromString(one.body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                spans += [_told(span) for span in scope.spans]
    return spans


def _told(span: Any) -> Told:
    return Told(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        begun_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        is_error=span.status.code == 2,
        attributes={each.key: _value(each.value) for each in span.attributes},
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(one) for one in value.array_value.values)
    return getattr(value, kind)


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Return once something is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)

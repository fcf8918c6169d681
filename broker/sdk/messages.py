"""Between the SDK's values and the wire's messages; pure, and shared by both clients."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

from google.protobuf.duration_pb2 import Duration

from broker.sdk.encoding import arguments_json, from_json, to_json
from broker.sdk.values import Principal, Scope, Tool
from broker.v1 import broker_pb2, host_pb2, types_pb2

Context = Literal["open", "mediated"]

HOLD_WAIT_S_MAX: Final = 60.0
_CONTEXTS: Final[Mapping[str, host_pb2.CreateMandateRequest.Context.ValueType]] = {
    "open": host_pb2.CreateMandateRequest.CONTEXT_OPEN,
    "mediated": host_pb2.CreateMandateRequest.CONTEXT_MEDIATED,
}


def mandate_request(
    *,
    principal: str | Principal,
    groups: Sequence[str],
    agent: str,
    context: Context,
    words: str | Sequence[str],
    scopes: Sequence[str | Scope],
    session_life_s: float | None,
    parent_session: str = "",
) -> host_pb2.CreateMandateRequest:
    """An order for a session.

    Raises:
        TypeError: scopes or groups are one string, or something is not JSON.
        ValueError: an unknown context.
    """
    if context not in _CONTEXTS:
        raise ValueError(f'context is "open" or "mediated", not {context!r}.')
    if isinstance(principal, str):
        principal = Principal(principal)
    request = host_pb2.CreateMandateRequest(
        principal=host_pb2.Principal(
            id=principal.id,
            groups=[*principal.groups, *_several("groups", groups)],
            attributes_json=to_json(dict(principal.attributes), what="attributes"),
            assurance=principal.assurance,
        ),
        agent=agent,
        words=[words] if isinstance(words, str) else words,
        scopes=[_scope(scope) for scope in _several("scopes", scopes)],
        context=_CONTEXTS[context],
        parent_session=parent_session,
    )
    if session_life_s is not None:
        request.session_life.CopyFrom(duration(session_life_s))
    return request


def invoke_request(
    *,
    session: str,
    secret: str,
    tool: str,
    arguments: Mapping[str, Any] | bytes,
    request_id: str,
    wait_s: float,
    taker: str = "",
) -> broker_pb2.InvokeRequest:
    """A call.

    Raises:
        TypeError: the arguments are not JSON.
        ValueError: wait_s is not between 0 and 60.
    """
    if not 0 <= wait_s <= HOLD_WAIT_S_MAX:
        raise ValueError(f"wait_s is between 0 and {HOLD_WAIT_S_MAX:g}, not {wait_s!r}.")
    request = broker_pb2.InvokeRequest(
        session=session,
        session_secret=secret,
        request_id=request_id,
        tool=tool,
        arguments_json=arguments_json(arguments),
        permit_taker=taker,
    )
    if wait_s:
        request.hold_wait.CopyFrom(duration(wait_s))
    return request


def tool_from(message: broker_pb2.Tool) -> Tool:
    """A tool as the agent sees it."""
    result_schema = message.result_schema_json
    return Tool(
        name=message.name,
        description=message.description,
        arguments_schema=from_json(message.arguments_schema_json or b"{}"),
        result_schema=from_json(result_schema) if result_schema else None,
        revision=message.revision,
        read_only=message.read_only,
        executed_by_caller=message.executed_by_caller,
    )


def duration(seconds: float) -> Duration:
    """Seconds as the wire has them."""
    message = Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message


def _scope(scope: str | Scope) -> types_pb2.Scope:
    if isinstance(scope, str):
        return types_pb2.Scope(name=scope)
    where = {
        reference: to_json(values, what=f"{scope.name} {reference}").decode()
        for reference, values in scope.where.items()
    }
    return types_pb2.Scope(name=scope.name, where_json=where)


def _several(name: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, str):
        raise TypeError(f"{name} is a list, not one string: [{values!r}].")
    return list(values)

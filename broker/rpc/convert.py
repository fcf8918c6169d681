"""Messages become values here, once and strictly, and values become messages.

A field that means nothing is refused by name before any use case is asked. Numbers on the wire that
are unknown to this release mean the same as none.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from broker.core.arguments import JsonValue, MalformedJson, parse_object, parse_value
from broker.core.caller_word import CALLER
from broker.core.calls import Context, Person, Principal
from broker.core.canonical import canonical_bytes
from broker.core.control import RegisteredTool
from broker.core.errors import LimitExceeded, MalformedRequest
from broker.core.limits import MANDATE_SCOPES_MAX, NAME_CHARACTERS_MAX, SESSION_LIFE_S_MAX
from broker.core.pointers import Reference
from broker.core.scopes import Scope
from broker.identity import LOCAL_ISSUER, parse_person
from broker.mandates import MandateOrder
from broker.v1 import broker_pb2, host_pb2, types_pb2

ATTRIBUTES_BYTES_MAX = 16 * 1024
GROUPS_MAX = 200
BOUNDS_MAX = 20
INSTANT_S_MAX = 253_402_300_799
"""The end of the year 9999, beyond which a Timestamp cannot say anything."""
LENGTH_S_MAX = 100 * 366 * 86_400
_BOUND_BYTES_MAX = 64 * 1024
_NANOS = 1_000_000_000


def malformed(field: str, sentence: str) -> MalformedRequest:
    """The error for one field."""
    return MalformedRequest(sentence, metadata={"field": field})


def require_text(text: str, *, field: str, characters_max: int = NAME_CHARACTERS_MAX) -> str:
    """A field that must be there.

    Raises:
        MalformedRequest: it is empty or too long.
    """
    if not 0 < len(text) <= characters_max:
        raise malformed(field, f"{field} is required and has at most {characters_max} characters.")
    return text


def timestamp(epoch_s: float) -> Timestamp | None:
    """POSIX seconds as a message; None for 0, which means that there is no such time."""
    if not epoch_s:
        return None
    message = Timestamp()
    message.FromNanoseconds(round(min(epoch_s, INSTANT_S_MAX) * _NANOS))
    return message


def instant(message: Timestamp, *, field: str) -> float:
    """A message as POSIX seconds; 0 where it was left out.

    Raises:
        MalformedRequest: it is before 1970 or after 9999, where messages have no such time.
    """
    epoch_s = message.seconds + message.nanos / _NANOS
    if not 0 <= epoch_s <= INSTANT_S_MAX:
        raise malformed(field, f"{field} is between the years 1970 and 9999.")
    return epoch_s


def seconds(message: Duration, *, field: str) -> float:
    """A message as seconds.

    Raises:
        MalformedRequest: it is negative, or longer than `LENGTH_S_MAX`.
    """
    length_s = message.seconds + message.nanos / _NANOS
    if not 0 <= length_s <= LENGTH_S_MAX:
        raise malformed(field, f"{field} is a length of time, of a hundred years at most.")
    return length_s


def words_in(texts: Iterable[str]) -> tuple[str, ...]:
    """What the user typed, without turns in which they typed nothing."""
    return tuple(text for text in texts if text)


def scope_in(message: types_pb2.Scope, *, field: str) -> Scope:
    """A scope as it was sent.

    Raises:
        MalformedRequest: no name, a reference that means nothing, or bound values that are not a
            JSON array of at least one.
    """
    require_text(message.name, field=f"{field}.name")
    if len(message.where_json) > BOUNDS_MAX:
        raise malformed(f"{field}.where_json", f"A scope binds at most {BOUNDS_MAX} references.")
    return Scope(
        name=message.name,
        where={
            _reference(text, field=field): _bound(values, field=field)
            for text, values in message.where_json.items()
        },
    )


def scope_out(scope: Scope) -> types_pb2.Scope:
    """A scope for the wire."""
    return types_pb2.Scope(
        name=scope.name,
        where_json={
            reference: canonical_bytes(list(values)).decode()
            for reference, values in scope.where.items()
        },
    )


def mandate_order(request: host_pb2.CreateMandateRequest) -> MandateOrder:
    """What a host orders.

    Raises:
        MalformedRequest: a field means nothing.
        LimitExceeded: too many scopes.
    """
    require_text(request.agent, field="agent")
    if len(request.scopes) > MANDATE_SCOPES_MAX:
        raise LimitExceeded(f"A mandate has at most {MANDATE_SCOPES_MAX} scopes.")
    mediated = request.context == host_pb2.CreateMandateRequest.CONTEXT_MEDIATED
    life_s = SESSION_LIFE_S_MAX
    if request.HasField("session_life"):
        life_s = seconds(request.session_life, field="session_life")
    return MandateOrder(
        principal=_principal(request.principal),
        agent=request.agent,
        words=words_in(request.words),
        scopes=tuple(scope_in(scope, field="scopes") for scope in request.scopes),
        context=Context.MEDIATED if mediated else Context.OPEN,
        life_s=life_s,
        parent=request.parent_session,
    )


def tool_out(tool: RegisteredTool) -> broker_pb2.Tool:
    """A tool as an agent sees it."""
    manifest = tool.manifest
    result = manifest.result
    return broker_pb2.Tool(
        name=manifest.name,
        description=manifest.description,
        arguments_schema_json=canonical_bytes(dict(manifest.arguments)),
        result_schema_json=b"" if result is None else _schema(result),
        revision=manifest.revision,
        read_only=manifest.behaviour.read_only,
        executed_by_caller=manifest.runner == CALLER,
    )


def _principal(message: host_pb2.Principal) -> Principal:
    identity = require_text(message.id, field="principal.id")
    if identity.startswith(("groups/", "agents/")):
        raise malformed("principal.id", "A principal is neither a group nor an agent.")
    if len(message.groups) > GROUPS_MAX:
        raise malformed("principal.groups", f"A principal has at most {GROUPS_MAX} groups.")
    return Principal(
        id=identity,
        person=(
            parse_person(message.person, field="principal.person")
            if message.person
            else Person(issuer=LOCAL_ISSUER, subject=identity)
        ),
        groups=tuple(require_text(g, field="principal.groups") for g in message.groups),
        attributes=_attributes(message.attributes_json),
        assurance=message.assurance,
    )


def _attributes(data: bytes) -> Mapping[str, JsonValue]:
    if not data:
        return {}
    try:
        return parse_object(data, bytes_max=ATTRIBUTES_BYTES_MAX)
    except MalformedJson as wrong:
        raise malformed("principal.attributes_json", str(wrong)) from None


def _reference(text: str, *, field: str) -> str:
    try:
        return str(Reference.parse(text))
    except ValueError as wrong:
        raise malformed(f"{field}.where_json", f"{text!r}: {wrong}") from None


def _bound(text: str, *, field: str) -> tuple[JsonValue, ...]:
    try:
        values = parse_value(text.encode(), bytes_max=_BOUND_BYTES_MAX)
    except MalformedJson as wrong:
        raise malformed(f"{field}.where_json", str(wrong)) from None
    if not isinstance(values, list) or not values:
        raise malformed(f"{field}.where_json", "Bound values are a JSON array of at least one.")
    return tuple(values)


def _schema(schema: Mapping[str, JsonValue] | Literal[True, False]) -> bytes:
    return canonical_bytes(dict(schema) if isinstance(schema, Mapping) else schema)

"""Whatever bytes come at whichever method, from whomever: a clean refusal, and the broker goes on."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.v1 import admin_pb2, broker_pb2, host_pb2, review_pb2, worker_pb2
from tests.e2e.guarded_shop import GuardedShop

CLEAN = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "ALREADY_EXISTS",
}
DEADLINE_S = 10.0
STAYS_OPEN_S = 0.3
REFUSED_STREAM = "RST_STREAM with error code 7"  # RFC 9113, section 7: nothing was processed
KINDS = ("nobody", "host", "agent", "reviewer", "worker", "auditor", "operator")
FILES = (admin_pb2, broker_pb2, host_pb2, review_pb2, worker_pb2)
NAMES = st.sampled_from(
    ["", "holds/1", "sessions/../x", "invocations/" + "0" * 40, "\u202e", "a/b/c", "x" * 3_000]
)
TEXTS = st.one_of(st.text(max_size=40), NAMES)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One RPC of ours."""

    path: str
    request: type[Message]
    takes_many: bool
    answers_many: bool


def methods() -> Iterator[Method]:
    """All of them."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield Method(
                    path=f"/{service.full_name}/{method.name}",
                    request=GetMessageClass(method.input_type),
                    takes_many=method.client_streaming,
                    answers_many=method.server_streaming,
                )


ALL = tuple(methods())


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_message_are_refused_everywhere(shop: GuardedShop, kind: str) -> None:
    """I send what no client of yours would, to every method, as whoever I have become."""
    by = _by(shop, kind)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(junk=st.binary(min_size=1, max_size=300))
    def sent(junk: bytes) -> None:
        for method in ALL:
            raw = b"\x0f" + junk  # a tag of no wire type: it is surely no message
            assert _code(shop, method, [raw], by) in CLEAN - {"OK"}, method.path

    with shop.nothing_changes():
        sent()
    _still_serves(shop)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "operator"])
def test_messages_that_say_anything_at_all_are_refused_or_answered(
    shop: GuardedShop, kind: str
) -> None:
    """My messages are well formed, and what they say is made up."""
    by = _by(shop, kind)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def sent(data: Any) -> None:
        for method in ALL:
            message = data.draw(_messages(method.request, depth=2))
            assert _code(shop, method, [message.SerializeToString()], by) in CLEAN, method.path

    ran = list(shop.ran)
    sent()
    assert shop.ran == ran
    _still_serves(shop)


def _by(shop: GuardedShop, kind: str) -> Sequence[tuple[str, str]]:
    match kind:
        case "nobody":
            return ()
        case "operator":
            given = shop.by_operator
        case "worker":
            given = shop.by("worker", "workers/fuzzed", tools=["refund"])
        case "auditor":
            given = shop.by("auditor", "auditor-1")
        case _:
            given = shop.by(kind)
    return given["metadata"]


def _code(
    shop: GuardedShop, method: Method, sent: Sequence[bytes], by: Sequence[tuple[str, str]]
) -> str:
    """How it ends; whoever knocks too fast is asked by HTTP/2 itself to come again."""
    end = time.monotonic() + DEADLINE_S
    while (code := _once(shop, method, sent, by)) == REFUSED_STREAM:
        assert time.monotonic() < end, method.path
        time.sleep(0.05)
    return code


def _once(
    shop: GuardedShop, method: Method, sent: Sequence[bytes], by: Sequence[tuple[str, str]]
) -> str:
    """How it ends, or how it begins where it would never end."""
    channel = shop.channel
    lasts = method.takes_many or method.answers_many
    given = {"metadata": by, "timeout": STAYS_OPEN_S if lasts else DEADLINE_S}
    try:
        match (method.takes_many, method.answers_many):
            case (False, False):
                channel.unary_unary(method.path)(sent[0], **given)
            case (False, True):
                stream = channel.unary_stream(method.path)(sent[0], **given)
                next(stream, None)
                stream.cancel()
            case _:
                stream = channel.stream_stream(method.path)(iter(sent), **given)
                next(stream, None)
                stream.cancel()
    except grpc.RpcError as error:
        if REFUSED_STREAM in (error.details() or ""):
            return REFUSED_STREAM
        stays_open = lasts and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return "OK" if stays_open else str(error.code().name)
    return "OK"


def _messages(kind: type[Message], *, depth: int) -> st.SearchStrategy[Message]:
    """Messages of a type, with whatever in each field."""

    def made(values: dict[str, Any]) -> Message:
        return kind(**{name: value for name, value in values.items() if value is not None})

    fields = {field.name: _values(field, depth=depth) for field in kind.DESCRIPTOR.fields}
    return st.fixed_dictionaries({}, optional=fields).map(made)


def _values(field: FieldDescriptor, *, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.none()
    one = _one(field, depth=depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: FieldDescriptor, *, depth: int) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            if not depth:
                return st.builds(GetMessageClass(field.message_type))
            return _messages(GetMessageClass(field.message_type), depth=depth - 1)
        case FieldDescriptor.CPPTYPE_STRING:
            return st.binary(max_size=40) if field.type == field.TYPE_BYTES else TEXTS
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return st.floats()
        case FieldDescriptor.CPPTYPE_ENUM:
            return st.integers(-1, 9)
        case FieldDescriptor.CPPTYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1)
        case FieldDescriptor.CPPTYPE_INT32:
            return st.integers(-(2**31), 2**31 - 1)
        case FieldDescriptor.CPPTYPE_UINT64:
            return st.integers(0, 2**64 - 1)
        case _:
            return st.integers(0, 2**32 - 1)


def _still_serves(shop: GuardedShop) -> None:
    assert shop.refund(shop.session()).result_json

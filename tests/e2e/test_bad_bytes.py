"""Whatever bytes come at whichever method, from whomever: a clean refusal, and nothing else."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
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
PLAIN: Mapping[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: st.one_of(st.text(max_size=40), NAMES),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 9),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
}


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


class Knocker:
    """Sends bytes to methods; where HTTP/2 itself has enough of a connection, by another one."""

    def __init__(
        self, *, address: str, channels: contextlib.ExitStack, stays_open_s: float
    ) -> None:
        self._address = address
        self._stays_open_s = stays_open_s
        self._channels = channels
        self._channel = self._opened()

    def code(self, method: Method, sent: bytes, by: Sequence[tuple[str, str]]) -> str:
        """How it ends, or how it begins where it would never end."""
        code = self._once(method, sent, by)
        if code == REFUSED_STREAM:
            self._channel = self._opened()
            code = self._once(method, sent, by)
        return code

    def _once(self, method: Method, sent: bytes, by: Sequence[tuple[str, str]]) -> str:
        channel: Any = self._channel
        lasts = method.takes_many or method.answers_many
        given: Any = {"metadata": by, "timeout": self._stays_open_s if lasts else DEADLINE_S}
        try:
            if method.takes_many:
                next(channel.stream_stream(method.path)(iter([sent]), **given), None)
            elif method.answers_many:
                next(channel.unary_stream(method.path)(sent, **given), None)
            else:
                channel.unary_unary(method.path)(sent, **given)
        except grpc.RpcError as error:
            if REFUSED_STREAM in (error.details() or ""):
                return REFUSED_STREAM
            stays_open = lasts and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return "OK" if stays_open else str(error.code().name)
        return "OK"

    def _opened(self) -> grpc.Channel:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        return self._channels.enter_context(grpc.insecure_channel(self._address, options=alone))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_message_are_refused_everywhere(shop: GuardedShop, kind: str) -> None:
    """I send what no client of yours would, to every method, as whoever I have become."""
    by = _by(shop, kind)

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(junk=st.binary(min_size=1, max_size=300))
    def sent(junk: bytes) -> None:
        for method in ALL:
            raw = b"\x0f" + junk  # a tag of no wire type: it is surely no message
            assert knocker.code(method, raw, by) in CLEAN - {"OK"}, method.path

    with shop.nothing_changes(), _knocking(shop) as knocker:
        sent()
    _still_serves(shop)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "operator"])
def test_messages_that_say_anything_at_all_are_refused_or_answered(
    shop: GuardedShop, kind: str
) -> None:
    """My messages are well formed, and what they say is made up."""
    by = _by(shop, kind)

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def sent(data: Any) -> None:
        for method in ALL:
            message = data.draw(_messages(method.request, depth=2))
            assert knocker.code(method, message.SerializeToString(), by) in CLEAN, method.path

    ran = list(shop.ran)
    with _knocking(shop, stays_open_s=STAYS_OPEN_S) as knocker:
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
    return tuple(given["metadata"])


@contextlib.contextmanager
def _knocking(shop: GuardedShop, *, stays_open_s: float = DEADLINE_S) -> Iterator[Knocker]:
    with contextlib.ExitStack() as stack:
        yield Knocker(address=shop.address, channels=stack, stays_open_s=stays_open_s)


def _messages(kind: type[Message], *, depth: int) -> st.SearchStrategy[Message]:
    """Messages of a type, with whatever in each field."""

    def made(values: dict[str, Any]) -> Message:
        return kind(**{name: value for name, value in values.items() if value is not None})

    fields = {field.name: _values(field, depth=depth) for field in kind.DESCRIPTOR.fields}
    return st.fixed_dictionaries({}, optional=fields).map(made)


def _values(field: Any, *, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.none()
    one = _one(field, depth=depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: Any, *, depth: int) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        kind = GetMessageClass(field.message_type)
        return _messages(kind, depth=depth - 1) if depth else st.builds(kind)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=40)
    return PLAIN[field.cpp_type]


def _still_serves(shop: GuardedShop) -> None:
    assert shop.refund(shop.session()).result_json

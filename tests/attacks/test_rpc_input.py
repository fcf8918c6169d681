"""Bytes and fields that mean nothing: each gets a clear error, an entry, and changes nothing."""

import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from broker.core.credentials import CredentialClass
from broker.core.errors import Defect
from broker.rpc.server import AddressRefused, Tls, require_safe
from broker.v1 import admin_pb2, broker_pb2, host_pb2, review_pb2, types_pb2
from tests.served import Served, bearer
from tests.world import AGENT, CUSTOMER

HOST, BY_AGENT = CredentialClass.HOST, CredentialClass.AGENT
MIB = 1024 * 1024


async def refused(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


def reason(error: grpc.aio.AioRpcError) -> str:
    return error.trailing_metadata()["callbroker-reason"]


async def entries(broker: Served, kind: str) -> list[dict]:
    parts = [p async for p in broker.world.store.export(since=0.0, include_contents=False)]
    said = [json.loads(line) for line in b"".join(parts).splitlines()]
    return [e for line in said if (e := line.get("entry", line)).get("kind") == kind]


def invoke(broker: Served, caller, **given):
    request = {
        "session": caller.session.name,
        "session_secret": "secret",
        "request_id": "r-1",
        "tool": "refund",
        "arguments_json": b"{}",
        **given,
    }
    return broker.broker.Invoke(broker_pb2.InvokeRequest(**request), metadata=broker.by(BY_AGENT))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", ""),
        ("request_id", "r" * 129),
        ("session", ""),
        ("tool", ""),
        ("tool", "t" * 201),
        ("hold_wait", Duration(seconds=-1)),
    ],
)
async def test_a_field_that_means_nothing_is_named_and_written_down(broker, field, value):
    """I leave out what identifies a request, or send too much of it."""
    caller = await broker.world.caller()
    error = await refused(invoke(broker, caller, **{field: value}))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == "MALFORMED_REQUEST"
    (entry,) = await entries(broker, "request.malformed")
    assert entry["body"]["field"] == field
    assert entry["actor"] == AGENT


def order(**given) -> host_pb2.CreateMandateRequest:
    wanted = {
        "principal": host_pb2.Principal(id=CUSTOMER),
        "agent": AGENT,
        "scopes": [types_pb2.Scope(name="refunds:write")],
        **given,
    }
    return host_pb2.CreateMandateRequest(**wanted)


@pytest.mark.parametrize(
    "request_",
    [
        order(principal=host_pb2.Principal()),
        order(principal=host_pb2.Principal(id="x" * 201)),
        order(principal=host_pb2.Principal(id="groups/admins")),
        order(principal=host_pb2.Principal(id="agents/other")),
        order(principal=host_pb2.Principal(id="a", groups=[""])),
        order(principal=host_pb2.Principal(id="a", groups=["g"] * 201)),
        order(principal=host_pb2.Principal(id="a", person="#")),
        order(principal=host_pb2.Principal(id="a", attributes_json=b"[]")),
        order(principal=host_pb2.Principal(id="a", attributes_json=b'{"a":1,"a":2}')),
        order(principal=host_pb2.Principal(id="a", attributes_json=b'{"a":NaN}')),
        order(
            principal=host_pb2.Principal(id="a", attributes_json=b'{"a":"%s"}' % (b"x" * 17_000))
        ),
        order(agent=""),
        order(agent="agents/none"),
        order(scopes=[types_pb2.Scope(name="")]),
        order(scopes=[types_pb2.Scope(name="s", where_json={"no slash": "[1]"})]),
        order(scopes=[types_pb2.Scope(name="s", where_json={"/a": "1"})]),
        order(scopes=[types_pb2.Scope(name="s", where_json={"/a": "[]"})]),
        order(scopes=[types_pb2.Scope(name="s", where_json={"/a": "[1e400]"})]),
        order(session_life=Duration(seconds=-1)),
    ],
)
async def test_a_mandate_that_means_nothing_orders_nothing(broker, request_):
    """I get a host to pass on what I typed as id, group or scope, and hope for a wider one.

    As `groups/admins` I would have that group's grants, as `agents/other` that agent's.
    """
    error = await refused(broker.host.CreateMandate(request_, metadata=broker.by(HOST)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await entries(broker, "mandate.created") == []
    assert len(await entries(broker, "request.malformed")) == 1


async def test_somebody_elses_hold_etag_or_page_token_is_of_no_use(broker):
    """I send etags and page tokens that I made up."""
    by = broker.by(CredentialClass.REVIEWER)
    token = await refused(
        broker.review.ListHolds(review_pb2.ListHoldsRequest(page_token="eA=="), metadata=by)
    )
    assert token.code() is grpc.StatusCode.INVALID_ARGUMENT
    for etag in ("-1", "٣", "1e3", "0x1", "1" * 10):
        error = await refused(
            broker.review.ApproveHold(
                review_pb2.ApproveHoldRequest(name="holds/none", etag=etag), metadata=by
            )
        )
        assert error.code() in {grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND}


async def test_ten_megabytes_are_refused_and_written_down(broker):
    """I send a body so large that parsing it hurts."""
    caller = await broker.world.caller()
    error = await refused(invoke(broker, caller, arguments_json=b" " * (10 * MIB)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == "LIMIT_EXCEEDED"
    (entry,) = await entries(broker, "request.refused")
    assert entry["body"]["reason"] == "LIMIT_EXCEEDED"


async def test_a_strangers_megabytes_are_not_even_read(broker):
    """I have no token, and make the broker take in ten megabytes before it finds out."""
    error = await refused(
        broker.broker.Invoke(
            broker_pb2.InvokeRequest(arguments_json=b" " * (10 * MIB)), metadata=bearer("no")
        )
    )
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_hundred_megabytes_end_in_transport_and_the_broker_goes_on(broker):
    """I send more than the transport takes."""
    caller = await broker.world.caller()
    error = await refused(invoke(broker, caller, arguments_json=b" " * (20 * MIB)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await broker.admin.GetStatus(
        admin_pb2.GetStatusRequest(), metadata=broker.by(CredentialClass.OPERATOR)
    )


async def test_a_bomb_of_metadata_is_refused_and_the_broker_goes_on(broker):
    """I send a hundred headers of a kilobyte each."""
    bomb = tuple((f"x-{number}", "x" * 1_000) for number in range(100))
    error = await refused(
        broker.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=broker.by(CredentialClass.OPERATOR) + bomb
        )
    )
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await broker.admin.GetStatus(
        admin_pb2.GetStatusRequest(), metadata=broker.by(CredentialClass.OPERATOR)
    )


@pytest.mark.parametrize(
    "trouble", [ValueError("/secret/path: password=hunter2"), Defect("row 17 of table keys")]
)
async def test_an_error_of_our_own_tells_nothing_but_where_to_look(broker, trouble):
    """I provoke errors and read stack traces, paths and SQL out of their texts."""

    async def counts():
        raise trouble

    broker.administration.overview._store = _Broken(counts)
    error = await refused(
        broker.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=broker.by(CredentialClass.OPERATOR)
        )
    )
    assert error.code() is grpc.StatusCode.INTERNAL
    told = str(error.details()) + str(error.trailing_metadata())
    for secret in ("hunter2", "/secret", "row 17", "Traceback", ".py"):
        assert secret not in told
    assert "its log has it under" in told


class _Broken:
    """A store that fails in a way that nobody foresaw."""

    def __init__(self, counts) -> None:
        self.counts = counts


@pytest.mark.parametrize(
    ("address", "is_safe"),
    [
        ("127.0.0.1:7400", True),
        ("127.8.9.1:0", True),
        ("[::1]:7400", True),
        ("localhost:7400", True),
        ("0.0.0.0:7400", False),
        ("[::]:7400", False),
        ("192.0.2.1:7400", False),
        ("broker.example:7400", False),
        ("localhost.example:7400", False),
        ("[::ffff:192.0.2.1]:7400", False),
        (":7400", False),
        ("127.0.0.1", False),
        ("127.0.0.1:", False),
        ("unix:/tmp/x", False),
    ],
)
def test_beyond_this_machine_nothing_is_said_in_the_clear(address, is_safe):
    """I listen on the network between agents and a broker that somebody bound too widely."""
    if is_safe:
        require_safe(address, None)
    else:
        with pytest.raises(AddressRefused):
            require_safe(address, None)
    if address in {"0.0.0.0:7400", "broker.example:7400"}:
        require_safe(address, Tls(certificate_chain=b"", private_key=b""))

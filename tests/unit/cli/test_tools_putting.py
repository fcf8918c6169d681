"""However many manifests there are: messages that the broker takes, and one thing is told."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest

from broker.cli.connection import Line, Token
from broker.cli.failures import CommandFailed
from broker.cli.tools_putting import put_tools
from broker.core.limits import MESSAGE_BYTES_MAX
from broker.v1 import admin_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub
from tests.fakes.admin_server import FakeServices, Refusal, fake_services

MANY = 10_000
FILLER = "x" * 800


class Office:
    """What is in force after each request, as a broker would have it."""

    def __init__(self, services: FakeServices) -> None:
        self.tools = {"old"}
        self.sizes: list[int] = []
        services.answers["PutTools"] = self.put
        services.answers["ListManifests"] = lambda _: admin_pb2.ListManifestsResponse(
            manifests=[admin_pb2.Manifest(name=name) for name in sorted(self.tools)]
        )

    def put(self, request: admin_pb2.PutToolsRequest) -> admin_pb2.PutToolsResponse:
        self.sizes.append(request.ByteSize())
        named = {json.loads(manifest)["name"] for manifest in request.manifests_json}
        after = self.tools | named
        if request.replace_all:
            after &= named | {*request.kept}
        if not request.validate_only:
            self.tools = after
        return admin_pb2.PutToolsResponse(tools=len(after), warnings=["one", f"{len(self.sizes)}"])


@pytest.fixture
def services() -> Iterator[FakeServices]:
    with fake_services() as served:
        yield served


@pytest.fixture
def line(services: FakeServices) -> Iterator[Line[AdminServiceStub]]:
    with grpc.insecure_channel(services.address) as channel:
        token = Token(text="t", origin="a test")
        yield Line(stub=AdminServiceStub(channel), address=services.address, token=token)


def manifests(count: int) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{n}.yaml", {"name": f"tool_{n}", "description": FILLER}) for n in range(count)]


def test_few_are_one_request(services: FakeServices, line: Line[AdminServiceStub]):
    office = Office(services)
    told = put_tools(line, manifests(3), reason="r", replace_all=True)
    request = services.request("PutTools")
    assert (request.reason, request.replace_all, list(request.kept)) == ("r", True, [])
    assert len(office.sizes) == 1
    assert told.tools == 3


def test_ten_thousand_are_as_many_requests_as_they_need(
    services: FakeServices, line: Line[AdminServiceStub]
):
    office = Office(services)
    told = put_tools(line, manifests(MANY), reason="r")
    assert len(office.sizes) == 3
    assert max(office.sizes) <= MESSAGE_BYTES_MAX
    assert told.tools == len(office.tools) == MANY + 1
    assert list(told.warnings) == ["one", "1", "2", "3"]
    assert {request.reason for name, request, _ in services.asked if name == "PutTools"} == {"r"}


def test_others_go_out_of_force_last_and_none_of_these_does(
    services: FakeServices, line: Line[AdminServiceStub]
):
    office = Office(services)
    told = put_tools(line, manifests(MANY), reason="r", replace_all=True)
    assert office.tools == {f"tool_{n}" for n in range(MANY)}
    assert told.tools == MANY
    assert max(office.sizes) <= MESSAGE_BYTES_MAX
    asked = [request.replace_all for name, request, _ in services.asked if name == "PutTools"]
    assert asked == [False, False, False, True]


@pytest.mark.parametrize(("replace_all", "would_be"), [(False, MANY + 1), (True, MANY)])
def test_to_check_so_many_puts_none_in_force(
    services: FakeServices, line: Line[AdminServiceStub], *, replace_all: bool, would_be: int
):
    office = Office(services)
    told = put_tools(line, manifests(MANY), reason="r", replace_all=replace_all, only_check=True)
    assert office.tools == {"old"}
    assert told.tools == would_be


def test_a_refusal_on_the_way_is_told_with_what_was_taken_by_then(
    services: FakeServices, line: Line[AdminServiceStub]
):
    office = Office(services)
    refusal = Refusal(code=grpc.StatusCode.INVALID_ARGUMENT, message="No tool was taken: because.")

    def once(request: admin_pb2.PutToolsRequest) -> admin_pb2.PutToolsResponse:
        services.answers["PutTools"] = refusal
        return office.put(request)

    services.answers["PutTools"] = once
    with pytest.raises(CommandFailed, match="No tool was taken") as failed:
        put_tools(line, manifests(MANY), reason="r", replace_all=True)
    taken = len(office.tools) - 1
    assert 0 < taken < MANY
    assert failed.value.findings[0].startswith(f"{taken} of these {MANY} tools are in force by now")

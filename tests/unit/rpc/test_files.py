"""Files over a real server: what goes up comes down, is listed, and is shown to reviewers."""

import asyncio
import json

import grpc
import pytest

from broker.core import limits
from broker.core.credentials import CredentialClass
from broker.v1 import broker_pb2, broker_pb2_grpc, review_pb2, types_pb2
from tests.fakes.decision_point import hold, opinion
from tests.filed import CONVERT, leaving
from tests.served import served
from tests.unit.rpc.asking import invoke, session
from tests.unit.rpc.sending import BY_AGENT, CHUNK, chunk, header, send
from tests.world import AGENT, TERMS


async def test_a_file_comes_back_as_it_was_sent(broker):
    opened = await session(broker)
    content = bytes(range(256)) * 3_000
    parts = [chunk(content[at : at + CHUNK]) for at in range(0, len(content), CHUNK)]
    sent = await send(broker, header(opened, size_bytes=len(content)), *parts)
    asked = {"session": opened.name, "session_secret": opened.secret, "name": sent.name}
    found = await broker.broker.GetArtefact(
        broker_pb2.GetArtefactRequest(**asked), metadata=broker.by(BY_AGENT)
    )
    assert found.artefact == sent
    first, *rest = [
        part
        async for part in broker.broker.ReadArtefact(
            broker_pb2.ReadArtefactRequest(**asked), metadata=broker.by(BY_AGENT)
        )
    ]
    assert first.artefact == sent
    assert b"".join(part.chunk for part in rest) == content


async def test_files_are_listed_page_by_page(broker):
    opened = await session(broker)
    for number in range(3):
        await send(broker, header(opened, file_name=f"{number}"), chunk(b"1234"))
    names, token = [], ""
    while True:
        page = await broker.broker.ListArtefacts(
            broker_pb2.ListArtefactsRequest(
                session=opened.name, session_secret=opened.secret, page_size=2, page_token=token
            ),
            metadata=broker.by(BY_AGENT),
        )
        names += [one.file_name for one in page.artefacts]
        token = page.next_page_token
        if not token:
            break
    assert sorted(names) == ["0", "1", "2"]


async def converting(broker):
    """A session that may use a tool of files."""
    await broker.world.put_tool(CONVERT)
    await broker.world.grant("groups/customers", "files:convert")
    await broker.world.grant(AGENT, "files:convert")
    return await session(broker, scopes=[types_pb2.Scope(name="files:convert")])


async def test_what_a_call_left_is_in_its_record_and_can_be_read(broker):
    opened = await converting(broker)
    leaving(broker.world, ("out.csv", b"a,b"))
    sent = await send(broker, header(opened), chunk(b"1234"))
    done = await invoke(
        broker,
        opened,
        tool="convert",
        arguments_json=json.dumps({"document": sent.name}).encode(),
    )
    assert [(one.file_name, one.size_bytes, one.made_by) for one in done.artefacts] == [
        ("out.csv", 3, done.name)
    ]
    assert done.artefacts[0].trust == types_pb2.Artefact.TRUST_UNTRUSTED
    found = await broker.broker.GetInvocation(
        broker_pb2.GetInvocationRequest(name=done.name), metadata=broker.by(BY_AGENT)
    )
    assert found.invocation == done
    parts = [
        part
        async for part in broker.broker.ReadArtefact(
            broker_pb2.ReadArtefactRequest(
                session=opened.name, session_secret=opened.secret, name=done.artefacts[0].name
            ),
            metadata=broker.by(BY_AGENT),
        )
    ]
    assert [part.chunk for part in parts[1:]] == [b"a,b"]


async def test_reviewers_see_the_files_that_a_call_names(broker):
    opened = await converting(broker)
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    sent = await send(broker, header(opened), chunk(b"1234"))
    held = await invoke(
        broker,
        opened,
        tool="convert",
        arguments_json=json.dumps({"beside": [sent.name]}).encode(),
    )
    told = await broker.review.GetHold(
        review_pb2.GetHoldRequest(name=held.hold), metadata=broker.by(CredentialClass.REVIEWER)
    )
    assert [(file.pointer, file.artefact) for file in told.hold.files] == [("/beside/0", sent)]


# What a reader takes in without reading: as little as gRPC can do with.
NEAR = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))


async def test_who_does_not_read_a_file_gives_its_place_back(tmp_path):
    async with served(tmp_path, write_deadline_s=0.2) as broker:
        opened = await session(broker)
        content = b"x" * limits.ARTEFACT_BYTES_MAX
        parts = [chunk(content[at : at + CHUNK]) for at in range(0, len(content), CHUNK)]
        sent = await send(broker, header(opened, size_bytes=len(content)), *parts)
        transfers = broker.world.artefacts.transfers
        address = f"127.0.0.1:{broker.port}"
        async with grpc.aio.insecure_channel(address, options=NEAR) as channel:
            call = broker_pb2_grpc.BrokerServiceStub(channel).ReadArtefact(
                broker_pb2.ReadArtefactRequest(
                    session=opened.name, session_secret=opened.secret, name=sent.name
                ),
                metadata=broker.by(BY_AGENT),
            )
            async with asyncio.timeout(10):
                await call.read()
                while transfers.under_way:
                    await asyncio.sleep(0.01)
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await read_all(call)
            assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def read_all(call):
    while await call.read() is not grpc.aio.EOF:
        pass

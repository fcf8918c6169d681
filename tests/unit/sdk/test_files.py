"""Files go up and come down through both clients; what comes is what was announced, or an error."""

import asyncio
import unicodedata
from pathlib import Path

import pytest

from broker.sdk import (
    Artefact,
    Defect,
    LimitExceeded,
    NotFound,
    Succeeded,
    Unavailable,
    connect,
    connect_sync,
)
from broker.sdk.client import Broker
from broker.sdk.files import CHUNK_BYTES, FILE_BYTES_MAX
from broker.sdk.testing import ScriptedBroker, succeeded
from tests.fakes.broker_server import BrokerServer

LARGE = bytes(range(256)) * (5 * CHUNK_BYTES // 512) + b"end"


async def opened(broker: Broker):
    mandate = await broker.create_mandate(principal="customers/c-204", agent="agents/support")
    return await broker.open_session(mandate)


@pytest.fixture
async def session(server: BrokerServer):
    async with connect(server.address, host_token="h", agent_token="a") as broker:
        yield await opened(broker)


async def test_a_file_goes_up_in_chunks_and_comes_down_whole(session, server, tmp_path: Path):
    path = tmp_path / "report.pdf"
    path.write_bytes(LARGE)
    artefact = await session.upload(path)
    assert (artefact.file_name, artefact.size, artefact.made_by) == (
        "report.pdf",
        len(LARGE),
        "agent",
    )
    assert (artefact.trust, artefact.sensitivity) == ("untrusted", "secret")
    assert await session.read(artefact) == await session.read(artefact.name) == LARGE
    assert await session.artefacts() == [artefact]
    (header,) = server.seen_of("CreateArtefact")
    assert header.header.size_bytes == len(LARGE)
    assert header.header.sha256 == artefact.sha256


async def test_an_empty_file_is_a_file(session):
    artefact = await session.upload(b"", name="empty.txt")
    assert artefact.size == 0
    assert await session.read(artefact) == b""


async def test_bytes_need_a_name(session):
    with pytest.raises(TypeError, match="need a name"):
        await session.upload(b"x")


async def test_a_name_goes_up_composed_as_brokers_take_it(session):
    decomposed = unicodedata.normalize("NFD", "r\u00e9sum\u00e9.pdf")
    assert (await session.upload(b"x", name=decomposed)).file_name == "r\u00e9sum\u00e9.pdf"


async def test_a_file_that_is_too_large_is_not_read_whole_or_sent(session, server, tmp_path: Path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10 * FILE_BYTES_MAX)
    with pytest.raises(LimitExceeded, match="at most"):
        await session.upload(path)
    assert server.seen_of("CreateArtefact") == []


async def test_a_file_is_saved_where_there_is_none(session, tmp_path: Path):
    artefact = await session.upload(b"content", name="a.txt")
    assert await session.save(artefact, tmp_path) == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"content"
    with pytest.raises(FileExistsError):
        await session.save(artefact, tmp_path)
    assert await session.save(artefact, tmp_path / "b.txt") == tmp_path / "b.txt"


async def test_a_name_that_leads_elsewhere_is_not_followed(session, tmp_path: Path):
    artefact = await session.upload(b"content", name="../a.txt")
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(Defect, match="leads elsewhere"):
        await session.save(artefact, inside)
    assert not (tmp_path / "a.txt").exists()


def shorter(part):
    if part.chunk:
        part.chunk = part.chunk[:-1]


def longer(part):
    if part.chunk:
        part.chunk += b"x"


def other(part):
    if part.chunk:
        part.chunk = b"x" * len(part.chunk)


@pytest.mark.parametrize(
    ("alter", "error"), [(shorter, Unavailable), (longer, Defect), (other, Defect)]
)
async def test_what_comes_is_what_was_announced_or_an_error(session, server, alter, error):
    artefact = await session.upload(b"content", name="a.txt")
    server.alter = alter
    with pytest.raises(error):
        await session.read(artefact)


async def test_another_sessions_file_is_not_found(server):
    async with connect(server.address, host_token="h", agent_token="a") as broker:
        one, another = await opened(broker), await opened(broker)
        artefact = await one.upload(b"x", name="a.txt")
        with pytest.raises(NotFound):
            await another.read(artefact)
        assert await another.artefacts() == []


async def test_the_blocking_client_promises_the_same(server: BrokerServer, tmp_path: Path):
    def body() -> None:
        with connect_sync(server.address, host_token="h", agent_token="a") as broker:
            mandate = broker.create_mandate(principal="customers/c", agent="agents/support")
            session = broker.open_session(mandate)
            artefact = session.upload(LARGE, name="a.bin")
            assert session.read(artefact) == LARGE
            assert session.artefacts() == [artefact]
            assert session.save(artefact, tmp_path).read_bytes() == LARGE
            with pytest.raises(NotFound):
                session.read("artefacts/other")

    await asyncio.to_thread(body)


async def test_what_a_call_left_is_told_to_the_model_and_read_by_its_session():
    broker = ScriptedBroker().answer("run_python", succeeded({"n": 1}, files={"out.csv": b"a,b"}))
    session = await opened(broker)
    outcome = await session.invoke("run_python", {"code": "1"})
    assert isinstance(outcome, Succeeded)
    (left,) = outcome.artefacts
    assert isinstance(left, Artefact)
    assert left.made_by == outcome.name
    assert outcome.for_model() == f'{{"n":1}}\nFile {left.name}: out.csv, 3 bytes.'
    assert await session.read(left) == b"a,b"


async def test_that_files_were_withheld_is_told_to_the_model():
    outcome = Succeeded(
        name="invocations/i",
        tool="t",
        state="SUCCEEDED",
        code="FILES_WITHHELD",
        message="The call ran. Its files are withheld by policy",
        result_json="{}",
    )
    assert outcome.for_model() == "{}\nThe call ran. Its files are withheld by policy."

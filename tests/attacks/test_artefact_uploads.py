"""Sending a file that is not what was announced, never ends, or is one of a million."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from broker.artefacts import Artefacts, Transfers, Upload
from broker.core import limits
from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition, LimitExceeded, MalformedRequest
from broker.core.unit import AddArtefact, Unit
from broker.v1 import broker_pb2
from tests.filed import another, chunks, filed_world, upload
from tests.store_values import stored
from tests.unit.rpc.asking import session
from tests.unit.rpc.sending import CHUNK, chunk, header, send
from tests.world import World

BY_AGENT = CredentialClass.AGENT


async def refused(broker, *requests, by=BY_AGENT) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await send(broker, *requests, by=by)
    return error.value.code(), error.value.details()


async def had(broker, opened) -> list[str]:
    answer = await broker.broker.ListArtefacts(
        broker_pb2.ListArtefactsRequest(session=opened.name, session_secret=opened.secret),
        metadata=broker.by(BY_AGENT),
    )
    return [one.file_name for one in answer.artefacts]


async def test_what_is_not_what_was_announced_is_not_kept(broker):
    """Send more, less, other bytes, two headers or none, and have something stored all the same."""
    opened = await session(broker)
    invalid, exhausted = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
    for code, *requests in (
        (invalid, header(opened), chunk(b"12345")),
        (invalid, header(opened), chunk(b"123")),
        (invalid, header(opened)),
        (invalid, header(opened, sha256=f"sha256:{'0' * 64}"), chunk(b"1234")),
        (invalid, header(opened), header(opened), chunk(b"1234")),
        (invalid, header(opened), broker_pb2.CreateArtefactRequest(), chunk(b"1234")),
        (invalid, chunk(b"1234")),
        (invalid,),
        (invalid, header(opened, size_bytes=-1)),
        (exhausted, header(opened, size_bytes=limits.ARTEFACT_BYTES_MAX + 1)),
        (exhausted, header(opened, size_bytes=2**62)),
        (exhausted, header(opened, size_bytes=CHUNK + 1), chunk(b"x" * (CHUNK + 1))),
    ):
        found, _ = await refused(broker, *requests)
        assert found is code, requests
    assert await had(broker, opened) == []


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "", ".x", "a\nb", "a\u202eb", "CON", "-x"])
async def test_a_name_with_a_trick_in_it_is_refused_and_not_repeated(broker, name: str):
    """Upload under a name that leads elsewhere on whichever disk it ends."""
    opened = await session(broker)
    code, said = await refused(broker, header(opened, file_name=name), chunk(b"1234"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith("A file's name ")
    assert await had(broker, opened) == []


async def test_no_byte_is_taken_for_a_session_that_is_not_mine(broker):
    """Know a session's name and push megabytes at it."""
    opened = await session(broker)
    for said in ({"session_secret": "wrong"}, {"session": "sessions/x"}):
        code, _ = await refused(broker, header(opened, **said), chunk(b"1234"))
        assert code is grpc.StatusCode.NOT_FOUND
    for other in set(CredentialClass) - {BY_AGENT}:
        code, _ = await refused(broker, header(opened), chunk(b"1234"), by=other)
        assert code is grpc.StatusCode.PERMISSION_DENIED
    assert await had(broker, opened) == []


async def test_a_client_that_hangs_up_half_way_leaves_nothing(broker):
    """Begin an upload and go away, again and again."""
    opened = await session(broker)
    transfers = broker.world.artefacts.transfers
    for _ in range(2 * transfers.of_agent_max):
        call = broker.broker.CreateArtefact(metadata=broker.by(BY_AGENT))
        await call.write(header(opened))
        await call.write(chunk(b"12"))
        call.cancel()
    async with asyncio.timeout(10):
        while transfers.under_way:
            await asyncio.sleep(0.01)
    assert (await send(broker, header(opened), chunk(b"1234"))).size_bytes == 4
    assert await had(broker, opened) == ["a.txt"]


async def test_a_million_uploads_fill_one_session_and_no_more(tmp_path):
    """Upload until the disk is full."""
    async with filed_world(tmp_path) as (w, mine):
        for _ in range(limits.ARTEFACTS_OF_SESSION_MAX):
            one = stored(mine.session, b"x")
            await w.store.commit(Unit(changes=(AddArtefact(stored=one),), entries=()))
        with pytest.raises(LimitExceeded, match="at most 256 files"):
            await upload(w, mine)
        other = await another(w)
        large = b"x" * limits.ARTEFACT_BYTES_MAX
        for _ in range(limits.ARTEFACT_BYTES_OF_SESSION_MAX // len(large)):
            await upload(w, other, large)
        with pytest.raises(LimitExceeded):
            await upload(w, other, b"x")
        assert len(await w.artefacts.list(mine)) == limits.ARTEFACTS_OF_SESSION_MAX


async def test_uploads_at_once_do_not_squeeze_past_the_limit(tmp_path):
    """Send the last file that fits many times at once."""
    async with filed_world(tmp_path) as (w, mine):
        for _ in range(limits.ARTEFACTS_OF_SESSION_MAX - 1):
            one = stored(mine.session, b"x")
            await w.store.commit(Unit(changes=(AddArtefact(stored=one),), entries=()))
        tried = await asyncio.gather(
            *(upload(w, mine) for _ in range(limits.TRANSFERS_OF_AGENT_MAX)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, LimitExceeded) for one in tried) == len(tried) - 1
        assert len(await w.artefacts.list(mine)) == limits.ARTEFACTS_OF_SESSION_MAX


def upload_said(size: int) -> Upload:
    return Upload(file_name="a.txt", size=size)


@contextlib.contextmanager
def transfers_of(transfers: Transfers, agent: str, count: int) -> Iterator[None]:
    """So many of the agent's transfers, under way."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(transfers.one(agent))
        yield


async def stalled() -> AsyncIterator[bytes]:
    yield b"1"
    await asyncio.Event().wait()


async def dripping() -> AsyncIterator[bytes]:
    while True:
        yield b""
        await asyncio.sleep(0.005)


def hurried(w: World) -> Artefacts:
    """The same files with deadlines that a test can wait for."""
    return Artefacts(store=w.store, own=w.own, clock=w.clock, deadline_s=0.2, chunk_deadline_s=0.05)


@pytest.mark.parametrize("source", [stalled, dripping])
async def test_an_upload_that_stalls_or_drips_ends_at_its_deadline(tmp_path, source):
    """Announce a file and never send it, so that the broker waits and keeps what came."""
    async with filed_world(tmp_path) as (w, mine):
        files = hurried(w)
        with pytest.raises(MalformedRequest, match="in time"):
            await files.create(mine, upload_said(2), source())
        assert not files.transfers.under_way
        assert await w.artefacts.list(mine) == []


async def test_one_agent_cannot_have_all_transfers_under_way(tmp_path):
    """Open uploads and leave them open, until nobody else can send a file."""
    async with filed_world(tmp_path) as (w, mine):
        files = w.artefacts
        with transfers_of(files.transfers, mine.agent.id, limits.TRANSFERS_OF_AGENT_MAX):
            with pytest.raises(LimitExceeded, match="at most 4"):
                await files.create(mine, upload_said(1), chunks(b"1"))
            assert files.transfers.under_way == limits.TRANSFERS_OF_AGENT_MAX
            with files.transfers.one("agents/another"):
                pass
        await files.create(mine, upload_said(1), chunks(b"1"))


async def test_a_session_that_ends_during_an_upload_keeps_nothing_of_it(tmp_path):
    """Be half-way through an upload when the session is revoked."""
    async with filed_world(tmp_path) as (w, mine):

        async def ending() -> AsyncIterator[bytes]:
            yield b"1"
            await w.sessions.end(mine.session, state="REVOKED", actor="test", reason="over")
            yield b"2"

        with pytest.raises(IllegalTransition):
            await w.artefacts.create(mine, upload_said(2), ending())
        assert await w.artefacts.list(mine) == []

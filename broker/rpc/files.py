"""Files on the wire: announced, then sent in chunks, so that nobody takes in more than was said."""

from collections.abc import AsyncIterator, Iterator

from broker.artefacts import Upload
from broker.core.errors import LimitExceeded
from broker.core.limits import ARTEFACT_CHUNK_BYTES_MAX
from broker.rpc.convert import malformed, require_text
from broker.v1 import broker_pb2


async def header_in(
    requests: AsyncIterator[broker_pb2.CreateArtefactRequest],
) -> broker_pb2.ArtefactHeader:
    """The first message of an upload.

    Raises:
        MalformedRequest: it is no header, or names no session.
    """
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        raise malformed("header", "An upload begins with its header.")
    require_text(first.header.session, field="header.session")
    return first.header


def upload_in(header: broker_pb2.ArtefactHeader) -> Upload:
    """What an agent says of a file before it sends it."""
    return Upload(file_name=header.file_name, size=header.size_bytes, sha256=header.sha256)


async def chunks_in(
    requests: AsyncIterator[broker_pb2.CreateArtefactRequest],
) -> AsyncIterator[bytes]:
    """What comes after the header.

    Raises:
        MalformedRequest: a second header, or nothing.
        LimitExceeded: a chunk is too large.
    """
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise malformed("chunk", "After its header an upload has chunks alone.")
        if len(request.chunk) > ARTEFACT_CHUNK_BYTES_MAX:
            raise LimitExceeded(f"A chunk has at most {ARTEFACT_CHUNK_BYTES_MAX} bytes.")
        yield request.chunk


def chunks_out(content: bytes) -> Iterator[bytes]:
    """What is in a file, in pieces; none of an empty one."""
    for first in range(0, len(content), ARTEFACT_CHUNK_BYTES_MAX):
        yield content[first : first + ARTEFACT_CHUNK_BYTES_MAX]

"""What an agent sends of a file, part by part."""

from broker.core import limits
from broker.core.credentials import CredentialClass
from broker.v1 import broker_pb2, types_pb2

BY_AGENT = CredentialClass.AGENT
CHUNK = limits.ARTEFACT_CHUNK_BYTES_MAX


def header(opened, **said) -> broker_pb2.CreateArtefactRequest:
    fields = {"file_name": "a.txt", "size_bytes": 4} | said
    return broker_pb2.CreateArtefactRequest(
        header=broker_pb2.ArtefactHeader(
            **{"session": opened.name, "session_secret": opened.secret} | fields
        )
    )


def chunk(content: bytes) -> broker_pb2.CreateArtefactRequest:
    return broker_pb2.CreateArtefactRequest(chunk=content)


async def send(broker, *requests, by=BY_AGENT) -> types_pb2.Artefact:
    answer = await broker.broker.CreateArtefact(iter(requests), metadata=broker.by(by))
    return answer.artefact

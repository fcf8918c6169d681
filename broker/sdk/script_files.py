"""The files of a scripted broker: found in their own session alone, as a broker's are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from broker.sdk.errors import MalformedRequest, NotFound
from broker.sdk.files import content_digest
from broker.v1 import broker_pb2, types_pb2

MADE_BY_AGENT: Final = "agent"


@dataclass(slots=True)
class ScriptedFiles:
    """What was uploaded and left, by name, in order."""

    _known: dict[str, tuple[types_pb2.Artefact, bytes]] = field(default_factory=dict)

    def add(self, session: str, made_by: str, file_name: str, content: bytes) -> types_pb2.Artefact:
        """One more."""
        artefact = types_pb2.Artefact(
            name=f"artefacts/a-{len(self._known) + 1}",
            session=session,
            made_by=made_by,
            file_name=file_name,
            size_bytes=len(content),
            sha256=content_digest(content),
            trust=types_pb2.Artefact.TRUST_UNTRUSTED,
            sensitivity=types_pb2.Artefact.SENSITIVITY_SECRET,
        )
        self._known[artefact.name] = (artefact, content)
        return artefact

    def of(self, session: str) -> list[types_pb2.Artefact]:
        """Those of a session, oldest first."""
        return [known for known, _ in self._known.values() if known.session == session]

    def read(self, session: str, name: str) -> Iterator[broker_pb2.ReadArtefactResponse]:
        """One of a session's.

        Raises:
            NotFound: absent, or another session's.
        """
        known, content = self._known.get(name, (types_pb2.Artefact(), b""))
        if known.session != session:
            raise NotFound("There is no such artefact.")
        yield broker_pb2.ReadArtefactResponse(artefact=known)
        if content:
            yield broker_pb2.ReadArtefactResponse(chunk=content)


def uploaded(
    requests: Iterator[broker_pb2.CreateArtefactRequest],
) -> tuple[broker_pb2.ArtefactHeader, bytes]:
    """What an upload brings.

    Raises:
        MalformedRequest: it does not begin with a header, or is not what that says.
    """
    first = next(requests, broker_pb2.CreateArtefactRequest())
    content = b"".join(request.chunk for request in requests)
    if first.WhichOneof("part") != "header" or len(content) != first.header.size_bytes:
        raise MalformedRequest("The upload is not what was announced.")
    return first.header, content

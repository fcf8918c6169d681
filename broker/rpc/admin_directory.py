"""AdminService's part about the directory: a source comes and goes whole and is read by pages."""

import asyncio
import hashlib
from typing import Any

import grpc

from broker.administration.directory import DirectoryAdministration, selected
from broker.core.directory import Directory
from broker.core.errors import MalformedRequest
from broker.rpc.convert import require_text
from broker.rpc.convert_directory import document_in, entry_out, put_out, source_out
from broker.rpc.door import authenticated
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.v1 import admin_pb2, admin_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
_ENTRIES = "directory"


class DirectoryMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `DirectoryAdministration` on behalf of an operator or auditor."""

    _directory: DirectoryAdministration

    async def PutDirectory(
        self, request: admin_pb2.PutDirectoryRequest, context: _Context
    ) -> admin_pb2.PutDirectoryResponse:
        """Replace all that one source says."""
        put = await self._directory.put(
            authenticated(),
            await asyncio.to_thread(document_in, request),
            validate_only=request.validate_only,
            reason=request.reason,
        )
        return put_out(put)

    async def DeleteDirectory(
        self, request: admin_pb2.DeleteDirectoryRequest, context: _Context
    ) -> admin_pb2.DeleteDirectoryResponse:
        """Take a whole source out."""
        require_text(request.source, field="source")
        await self._directory.delete(authenticated(), request.source, reason=request.reason)
        return admin_pb2.DeleteDirectoryResponse()

    async def ListDirectories(
        self, request: admin_pb2.ListDirectoriesRequest, context: _Context
    ) -> admin_pb2.ListDirectoriesResponse:
        """The sources in force."""
        sources = self._directory.in_force().sources
        return admin_pb2.ListDirectoriesResponse(directories=map(source_out, sources))

    async def ListDirectoryEntries(
        self, request: admin_pb2.ListDirectoryEntriesRequest, context: _Context
    ) -> admin_pb2.ListDirectoryEntriesResponse:
        """What is known."""
        size = page_size_of(request.page_size)
        directory = self._directory.in_force()
        begin = _begin(request.page_token, directory)
        entries = selected(directory, subjects=request.subjects, source=request.source)
        stand = _stand(directory)
        page = page_of(
            tuple(enumerate(entries[begin : begin + size + 1], start=begin + 1)),
            size=size,
            listing=_ENTRIES,
            cursor=lambda numbered: f"{stand}:{numbered[0]}",
        )
        return admin_pb2.ListDirectoryEntriesResponse(
            entries=[entry_out(entry) for _, entry in page.items],
            next_page_token=page.next_page_token,
            total_size=len(entries),
        )


def _stand(directory: Directory) -> str:
    """What names a directory, so that a token of one is not taken for a place in another."""
    digests = "".join(source.digest for source in directory.sources)
    return hashlib.sha256(digests.encode()).hexdigest()


def _begin(token: str, directory: Directory) -> int:
    """How many entries come before the page."""
    if not token:
        return 0
    stand, _, place = cursor_of(token, listing=_ENTRIES).partition(":")
    if stand != _stand(directory) or not (place.isascii() and place.isdigit()):
        raise MalformedRequest(
            "The directory has changed since this page token was given: begin again.",
            metadata={"field": "page_token"},
        )
    return int(place)

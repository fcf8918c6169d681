"""The directory over a real server: a source goes in whole and comes back by pages."""

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, types_pb2

OPERATOR, AUDITOR = CredentialClass.OPERATOR, CredentialClass.AUDITOR
Entry = admin_pb2.DirectoryEntry


def person(name: str, **changes) -> Entry:
    return Entry(kind=Entry.KIND_PERSON, value=name, **changes)


def put(*entries: Entry, source: str = "CRM", **changes) -> admin_pb2.PutDirectoryRequest:
    return admin_pb2.PutDirectoryRequest(source=source, entries=entries, **changes)


async def test_operators_put_and_remove_and_auditors_read(broker):
    by, auditor = broker.by(OPERATOR), broker.by(AUDITOR)
    mailbox = Entry(
        kind=Entry.KIND_MAILBOX,
        value="ada@x.example",
        subject="groups/g",
        sensitivity=types_pb2.Artefact.SENSITIVITY_PERSONAL,
    )
    told = await broker.admin.PutDirectory(put(person("Ada"), mailbox), metadata=by)
    assert (told.directory.source, told.directory.entries, told.added) == ("CRM", 2, 2)
    status = await broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=auditor)
    assert list(status.directories) == [told.directory]
    listed = await broker.admin.ListDirectories(
        admin_pb2.ListDirectoriesRequest(), metadata=auditor
    )
    assert list(listed.directories) == [told.directory]
    page = await broker.admin.ListDirectoryEntries(
        admin_pb2.ListDirectoryEntriesRequest(subjects=["groups/g"]), metadata=auditor
    )
    assert [(e.kind, e.value, e.subject, e.sensitivity, e.source) for e in page.entries] == [
        (Entry.KIND_PERSON, "Ada", "*", types_pb2.Artefact.SENSITIVITY_NONE, "CRM"),
        (mailbox.kind, mailbox.value, mailbox.subject, mailbox.sensitivity, "CRM"),
    ]
    await broker.admin.DeleteDirectory(
        admin_pb2.DeleteDirectoryRequest(source="CRM", reason="over"), metadata=by
    )
    page = await broker.admin.ListDirectoryEntries(
        admin_pb2.ListDirectoryEntriesRequest(), metadata=auditor
    )
    assert (list(page.entries), page.total_size) == ([], 0)


async def test_an_entry_of_no_kind_is_a_finding_and_nothing_is_taken(broker):
    with pytest.raises(grpc.aio.AioRpcError, match="/entries/0/kind: one of mailbox") as refused:
        await broker.admin.PutDirectory(put(Entry(value="Ada")), metadata=broker.by(OPERATOR))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert broker.world.room.current().directory.sources == ()


async def test_pages_go_through_all_of_it_until_it_changes(broker):
    by = broker.by(OPERATOR)
    names = [f"p{n}" for n in range(5)]
    await broker.admin.PutDirectory(put(*map(person, names)), metadata=by)
    request = admin_pb2.ListDirectoryEntriesRequest(page_size=2)
    found = []
    while True:
        page = await broker.admin.ListDirectoryEntries(request, metadata=by)
        found += [entry.value for entry in page.entries]
        assert page.total_size == 5
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == names
    await broker.admin.PutDirectory(put(person("Ada")), metadata=by)
    with pytest.raises(grpc.aio.AioRpcError, match="begin again"):
        await broker.admin.ListDirectoryEntries(request, metadata=by)

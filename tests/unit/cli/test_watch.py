"""`serve --watch` puts the directory's files in force, and only what they say anew."""

from pathlib import Path

from broker.cli.connection import Line, Token, open_channel
from broker.cli.directory_files import provisions
from broker.cli.watch import reload
from broker.config import Settings
from broker.core.canonical import content_digest
from broker.core.directory_rows import said
from broker.v1 import admin_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub
from tests.fakes.admin_server import FakeServices

PEOPLE = "source: s\nentries: [{kind: person, value: Ada}]\n"


def reloaded(services: FakeServices, file: Path) -> bool:
    token = Token(text="t", origin="the test")
    with open_channel(services.address) as channel:
        line = Line(stub=AdminServiceStub(channel), address=services.address, token=token)
        return reload(Settings(directory=file), line)


def in_force(services: FakeServices, **digests: str) -> None:
    services.answers["ListDirectories"] = admin_pb2.ListDirectoriesResponse(
        directories=[admin_pb2.Directory(source=s, digest=d) for s, d in digests.items()]
    )
    services.answers["PutDirectory"] = admin_pb2.PutDirectoryResponse()


def test_what_a_file_says_anew_is_put(services: FakeServices, here: Path) -> None:
    (here / "people.yaml").write_text(PEOPLE)
    in_force(services, s="sha256:0")
    assert reloaded(services, here / "people.yaml")
    assert services.request("PutDirectory").entries[0].value == "Ada"


def test_what_is_in_force_as_it_is_gets_no_new_date(services: FakeServices, here: Path) -> None:
    file = here / "people.yaml"
    file.write_text(PEOPLE)
    (provision,) = provisions(file)
    in_force(services, s=content_digest(said(provision)))
    assert reloaded(services, file)
    assert [name for name, _, _ in services.asked] == ["ListDirectories"]


def test_a_file_that_is_broken_leaves_what_is_in_force(services: FakeServices, here: Path) -> None:
    (here / "people.yaml").write_text("source: s\n")
    in_force(services)
    assert not reloaded(services, here / "people.yaml")
    assert [name for name, _, _ in services.asked] == ["ListDirectories"]

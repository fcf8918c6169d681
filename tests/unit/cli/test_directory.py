"""`callbroker directory` sends what a file says whole, or tells every problem with its line."""

import json
from pathlib import Path

import pytest

from broker.cli.failures import ExitCode
from broker.v1 import admin_pb2, types_pb2
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run

Entry = admin_pb2.DirectoryEntry
PEOPLE = """\
source: the team's list
entries:
  - {kind: person, value: Ada}
  - kind: mailbox
    value: ada@x.example
    for: groups/g
    sensitivity: personal
"""
CRM = {"source": "CRM", "entries": [{"kind": "account", "value": "DE75"}]}


@pytest.fixture
def taking(services: FakeServices) -> FakeServices:
    """A broker that takes whatever is put."""
    services.answers["PutDirectory"] = lambda request: admin_pb2.PutDirectoryResponse(
        directory=admin_pb2.Directory(source=request.source, entries=len(request.entries)),
        added=len(request.entries),
    )
    return services


def test_a_file_is_put_as_it_is(run: Run, taking: FakeServices, here: Path) -> None:
    (here / "people.yaml").write_text(PEOPLE)
    ran = run("directory", "put", "people.yaml", "--reason", "Monday.")
    assert ran.out == "the team's list: 2 entries are in force, 2 new, 0 gone.\n"
    asked = taking.request("PutDirectory")
    assert (asked.source, asked.reason, asked.validate_only) == (
        "the team's list",
        "Monday.",
        False,
    )
    assert list(asked.entries) == [
        Entry(
            kind=Entry.KIND_PERSON,
            value="Ada",
            subject="*",
            sensitivity=types_pb2.Artefact.SENSITIVITY_NONE,
        ),
        Entry(
            kind=Entry.KIND_MAILBOX,
            value="ada@x.example",
            subject="groups/g",
            sensitivity=types_pb2.Artefact.SENSITIVITY_PERSONAL,
        ),
    ]


def test_a_directory_of_files_is_put_file_by_file(
    run: Run, taking: FakeServices, here: Path
) -> None:
    (here / "known").mkdir()
    (here / "known" / "people.yaml").write_text(PEOPLE)
    (here / "known" / "crm.json").write_text(json.dumps(CRM))
    ran = run("directory", "put", "known", "--check")
    assert ran.out.splitlines() == [
        "CRM: 1 entry would be in force, 1 new, 0 gone.",
        "the team's list: 2 entries would be in force, 2 new, 0 gone.",
    ]
    assert all(request.validate_only for _, request, _ in taking.asked)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "a.yaml",
            PEOPLE.replace("ada@x.example", "ada"),
            "a.yaml:5: /entries/1/value: is no mail",
        ),
        ("a.yaml", PEOPLE + "more: 1\n", "a.yaml:8: /more: nothing is called so"),
        ("a.yaml", "source: s\nentries:\n  - value: x\n", "a.yaml:3: /entries/0/kind: one of"),
        ("a.yaml", "source: s\nsource: t\n", "a.yaml: line 2: the key source is there twice"),
        ("a.json", '{"source": "s",\n "entries": [\n 7]}', "a.json:3: /entries/0: write an object"),
        ("a.json", '{"source": "s", "source": "t"}', "a.json: An object names the same key twice."),
        ("a.json", "{", "a.json: The text is not one JSON value"),
        ("a.yaml", "- 1\n", "a.yaml:1: write an object"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_nothing_is_sent(
    run: Run, services: FakeServices, here: Path, name: str, text: str, told: str
) -> None:
    (here / name).write_text(text)
    ran = run("directory", "put", name)
    assert ran.code == ExitCode.NO
    assert told in ran.err
    assert services.asked == []


def test_two_files_of_one_source_are_refused(run: Run, services: FakeServices, here: Path) -> None:
    (here / "a.yaml").write_text(PEOPLE)
    (here / "b.yaml").write_text(PEOPLE)
    ran = run("directory", "put", ".")
    assert "b.yaml: the team's list is the source of a.yaml already" in ran.err
    assert services.asked == []


def test_a_file_that_is_not_there_is_told(run: Run, services: FakeServices) -> None:
    assert "none.yaml: No such file or directory" in run("directory", "put", "none.yaml").err
    assert services.asked == []


def listing(services: FakeServices, pages: int) -> None:
    services.answers["ListDirectories"] = admin_pb2.ListDirectoriesResponse(
        directories=[admin_pb2.Directory(source="C\x1b[2JRM", entries=pages * 150, put_by="op")]
    )
    entry = Entry(kind=Entry.KIND_HOST, value="x.example\x1b[2J", subject="*", source="CRM")

    def page(
        request: admin_pb2.ListDirectoryEntriesRequest,
    ) -> admin_pb2.ListDirectoryEntriesResponse:
        number = int(request.page_token or 0) + 1
        return admin_pb2.ListDirectoryEntriesResponse(
            entries=[entry] * 150,
            next_page_token=str(number) if number < pages else "",
            total_size=pages * 150,
        )

    services.answers["ListDirectoryEntries"] = page


def test_the_list_is_told_in_part_and_to_programs_whole(run: Run, services: FakeServices) -> None:
    listing(services, 3)
    ran = run("directory", "list", "--for", "c-1", "--for", "groups/g", "--source", "CRM")
    assert ran.out.splitlines()[-1] == "The first 200 of 450; all of them: --json"
    assert "\x1b" not in ran.out
    asked = services.request("ListDirectoryEntries")
    assert (list(asked.subjects), asked.source) == (["c-1", "groups/g"], "CRM")
    told = json.loads(run("directory", "list", "--json").out)
    assert len(told["entries"]) == 450
    assert told["entries"][0]["kind"] == "HOST"


def test_an_empty_directory_says_how_it_is_filled(run: Run, services: FakeServices) -> None:
    services.answers["ListDirectories"] = admin_pb2.ListDirectoriesResponse()
    services.answers["ListDirectoryEntries"] = admin_pb2.ListDirectoryEntriesResponse()
    assert "callbroker directory put FILE" in run("directory", "list").out


def test_a_source_is_removed_by_name(run: Run, services: FakeServices) -> None:
    services.answers["DeleteDirectory"] = admin_pb2.DeleteDirectoryResponse()
    assert run("directory", "remove", "CRM", "--reason", "Old.").out == "Out of force: CRM\n"
    assert services.request("DeleteDirectory").reason == "Old."


def test_the_status_says_how_much_is_known_and_how_old_it_is(
    run: Run, services: FakeServices
) -> None:
    told = admin_pb2.GetStatusResponse(broker="brokers/b")
    services.answers["GetStatus"] = told
    assert "Known    nobody: callbroker directory put FILE" in run("status").out
    told.directories.add(source="CRM", entries=7).put_time.GetCurrentTime()
    assert "Known    CRM 7 (0 s old)" in run("status").out

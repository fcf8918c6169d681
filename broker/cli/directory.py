"""`callbroker directory`: people and places that are known, as operators provision them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import ACTIVATE_DEADLINE_S, Line, administering, looking
from broker.cli.directory_files import entries_out, provisions
from broker.cli.hold_picture import digest
from broker.cli.json_output import enum_word, plain, print_json
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import Around, around, list_width, ours, say, table, theirs
from broker.cli.times import epoch, length
from broker.v1 import admin_pb2, types_pb2
from broker.v1.admin_pb2 import Directory, DirectoryEntry
from broker.v1.admin_pb2_grpc import AdminServiceStub

app = group("People and places that are known.")

SHOWN_MAX: Final = 200
_PAGE: Final = 500
_KIND: Final = DirectoryEntry.Kind.DESCRIPTOR
_SENSITIVITY: Final = types_pb2.Artefact.Sensitivity.DESCRIPTOR


@app.command(epilog='Example: callbroker directory put people.yaml --reason "Export of Monday."')
def put(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML or JSON; or a directory of such files.")
    ],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the log.")] = "",
    only_check: Annotated[
        bool, typer.Option("--check", help="Only ask the broker whether it would take it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replace all that one source says of known people and places.

    What the source said before goes. Other sources stay as they are.
    """
    read = provisions(file)
    told = []
    with administering() as line:
        for provision in read:
            request = admin_pb2.PutDirectoryRequest(
                source=provision.source,
                entries=entries_out(provision.entries),
                validate_only=only_check,
                reason=reason,
            )
            told.append(line.ask(line.stub.PutDirectory, request, deadline_s=ACTIVATE_DEADLINE_S))
    if as_json:
        print_json({"directories": [plain(one) for one in told]})
        return
    would = "would be" if only_check else "are"
    for one in told:
        count = one.directory.entries
        say(
            theirs(one.directory.source, "bold")
            + ours(f": {_count(count)} {'is' if count == 1 and not only_check else would} in force")
            + ours(f", {one.added} new, {one.removed} gone.")
        )


@app.command("list", epilog="Example: callbroker directory list --for customers/c-204")
def list_entries(
    *,
    subjects: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="SUBJECT",
            help="What this one may reach: a principal's id or groups/NAME; repeatable.",
        ),
    ] = None,
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    as_json: AsJson = False,
) -> None:
    """Who and what is known, for whom, and on whose word."""
    with looking() as line:
        sources = line.ask(line.stub.ListDirectories, admin_pb2.ListDirectoriesRequest())
        request = admin_pb2.ListDirectoryEntriesRequest(
            subjects=subjects or (), source=source, page_size=_PAGE
        )
        found, total = _entries(line, request, most=None if as_json else SHOWN_MAX)
    if as_json:
        print_json(
            {
                "directories": [plain(one) for one in sources.directories],
                "entries": [plain(entry) for entry in found],
            }
        )
        return
    shown = around()
    say(*directory_picture(sources.directories, found, shown, width=list_width(shown)))
    if total > len(found):
        say(f"The first {len(found)} of {total}; all of them: --json")


@app.command(epilog='Example: callbroker directory remove "CRM export" --reason "Retired."')
def remove(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Its name.")],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Take a whole source out. What it said is kept for the log."""
    with administering() as line:
        request = admin_pb2.DeleteDirectoryRequest(source=source, reason=reason)
        line.ask(line.stub.DeleteDirectory, request)
    if as_json:
        print_json({"source": source, "removed": True})
    else:
        say(ours("Out of force: ") + theirs(source))


def directory_picture(
    sources: Sequence[Directory],
    entries: Sequence[DirectoryEntry],
    shown: Around,
    *,
    width: int,
) -> list[Text]:
    """The lines of `directory list`."""
    if not sources:
        return [ours("Nobody is known. Say who is: callbroker directory put FILE")]
    head = ("Source", "Entries", "Put", "By", "Digest")
    rows = [
        [
            theirs(one.source, "bold"),
            ours(str(one.entries)),
            ours(f"{length(shown.now - epoch(one.put_time))} ago"),
            theirs(one.put_by),
            theirs(digest(one.digest)),
        ]
        for one in sources
    ]
    lines = [*table(head, rows, width=width), ours("")]
    if not entries:
        return [*lines, ours("No entry fits.")]
    known = [
        [
            ours(enum_word(_KIND, entry.kind).lower()),
            theirs(entry.value, "bold"),
            ours("everybody") if entry.subject == "*" else theirs(entry.subject),
            ours(enum_word(_SENSITIVITY, entry.sensitivity).lower()),
            theirs(entry.source),
        ]
        for entry in entries
    ]
    return [*lines, *table(("Kind", "Value", "For", "Up to", "Source"), known, width=width)]


def _entries(
    line: Line[AdminServiceStub],
    request: admin_pb2.ListDirectoryEntriesRequest,
    *,
    most: int | None,
) -> tuple[list[DirectoryEntry], int]:
    found: list[DirectoryEntry] = []
    total = 0
    for page in _pages(line, request):
        found += page.entries
        total = page.total_size
        if most is not None and len(found) >= most:
            return found[:most], total
    return found, total


def _pages(
    line: Line[AdminServiceStub], request: admin_pb2.ListDirectoryEntriesRequest
) -> Iterator[admin_pb2.ListDirectoryEntriesResponse]:
    while True:
        page = line.ask(line.stub.ListDirectoryEntries, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _count(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries} entries"

"""`callbroker retention`: how long contents are kept, legal holds, and erasing for somebody."""

import enum
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import Line, administering, looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.invocations import resolved, resolved_session
from broker.cli.json_output import enum_word, plain, print_json
from broker.cli.names import resolve, short
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import Around, around, list_width, ours, say, table, theirs
from broker.cli.times import clock, epoch
from broker.v1 import admin_pb2, retention_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.retention_pb2 import GetRetentionResponse, LegalHold

ERASE_DEADLINE_S: Final = 3_600.0
_HEADERS: Final = ("Legal hold", "Keeps", "Since", "By", "Reason")

app = group("What is kept of calls, and for how long.")


class Kind(enum.StrEnum):
    """What can be kept."""

    PRINCIPAL = "principal"
    SESSION = "session"
    INVOCATION = "invocation"


@app.command("show", epilog="Example: callbroker retention show")
def show(*, as_json: AsJson = False) -> None:
    """How long contents are kept, and the legal holds in force, oldest first."""
    with looking() as line:
        told = line.ask(line.stub.GetRetention, retention_pb2.GetRetentionRequest())
    if as_json:
        print_json(plain(told))
    else:
        say(*_picture(told, around()))


@app.command("set", epilog='Example: callbroker retention set --days 90 --reason "Our policy."')
def set_period(
    *,
    days: Annotated[int | None, typer.Option(min=1, help="Days after a session has ended.")] = None,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="Erase nothing by age.")] = False,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Say how long contents are kept: words, arguments, results, facts, files, reasons.

    What is older is erased within minutes, and then day by day. Digests, codes, names and times
    stay, so that the log goes on to verify. Backups keep what they have.
    """
    if for_ever is (days is not None):
        raise CommandFailed("Say --days or --for-ever.", exit_code=ExitCode.USAGE)
    with administering() as line:
        request = retention_pb2.SetRetentionRequest(contents_days=days or 0, reason=reason)
        made = line.ask(line.stub.SetRetention, request)
    if as_json:
        print_json(plain(made))
    else:
        say(ours("Contents are kept " + _period(made.contents_days) + "."))


@app.command(
    "legal-hold",
    epilog='Example: callbroker retention legal-hold principal customers/c-204 --reason "Case 12."',
)
def legal_hold(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="principal, session or invocation.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one.")],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Keep contents, whatever the period says and whoever asks, until it is released."""
    with administering() as line:
        subject = name
        if kind is Kind.SESSION:
            subject = resolved_session(line, name)
        elif kind is Kind.INVOCATION:
            subject = resolved(line, name)
        request = retention_pb2.CreateLegalHoldRequest(
            kind=LegalHold.Kind.Value(f"KIND_{kind.name}"), subject=subject, reason=reason
        )
        made = line.ask(line.stub.CreateLegalHold, request).legal_hold
        is_unheard_of = kind is Kind.PRINCIPAL and _is_unheard_of(line, subject)
    if as_json:
        print_json(plain(made))
        return
    release = f'callbroker retention release {short(made.name)} --reason "..."'
    say(ours("Kept: ") + _subject(made) + ours(f". It is released by: {release}"))
    if is_unheard_of:
        say(_unheard_of(subject))


@app.command(epilog='Example: callbroker retention release l-9c2e01ab --reason "Case closed."')
def release(
    name: Annotated[
        str, typer.Argument(metavar="LEGAL-HOLD", help="As `retention show` prints it.")
    ],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Release a legal hold: what is old enough is then erased like all else."""
    with administering() as line:
        found = line.ask(line.stub.GetRetention, retention_pb2.GetRetentionRequest()).legal_holds
        request = retention_pb2.DeleteLegalHoldRequest(
            name=resolve("legal-holds", name, (hold.name for hold in found)), reason=reason
        )
        lifted = line.ask(line.stub.DeleteLegalHold, request).legal_hold
    if as_json:
        print_json(plain(lifted))
    else:
        say(ours("No longer kept: ") + _subject(lifted))


@app.command(
    epilog='Example: callbroker retention erase customers/c-204 --reason "They asked us to." --yes',
)
def erase(
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Whose: their id.")],
    *,
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="It cannot be undone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what was said in a principal's sessions that are over. It cannot be undone.

    Exit code 1 where something of theirs is left: a session that goes on, a call that waits or
    whose outcome is unknown, or a legal hold. Ask again once that is over.
    """
    if not yes:
        raise CommandFailed(
            "Erasing cannot be undone: say --yes.",
            exit_code=ExitCode.USAGE,
            findings=("a legal hold keeps what must not be erased",),
        )
    with administering() as line:
        request = retention_pb2.EraseContentsRequest(principal=principal, reason=reason)
        told = line.ask(line.stub.EraseContents, request, deadline_s=ERASE_DEADLINE_S)
        is_nothing = told == retention_pb2.EraseContentsResponse()
        is_unheard_of = is_nothing and _is_unheard_of(line, principal)
    if as_json:
        print_json(plain(told))
    else:
        say(*_erased(told))
    if is_unheard_of and not as_json:
        say(_unheard_of(principal))
    if told.sessions_open or told.sessions_held:
        raise typer.Exit(ExitCode.NO)


def _is_unheard_of(line: Line[AdminServiceStub], principal: str) -> bool:
    """Whether a principal may be misspelt: ids are a host's own, and none is refused."""
    request = admin_pb2.ListInvocationsRequest(principal=principal, page_size=1)
    return not line.ask(line.stub.ListInvocations, request).invocations


def _unheard_of(principal: str) -> Text:
    said = ours("note  ", "yellow") + ours("no call was ever made for ") + theirs(principal)
    return said + ours(". Is it spelt as `callbroker invocations list` says it?")


def _picture(told: GetRetentionResponse, shown: Around) -> list[Text]:
    by = ours("")
    if told.set_by:
        at = clock(epoch(told.set_time), now=shown.now, zone=shown.zone)
        by = ours(f", said {at} by ") + theirs(told.set_by)
    lines = [ours("Contents are kept " + _period(told.contents_days)) + by + ours(".")]
    if not told.legal_holds:
        return [*lines, ours("There is no legal hold.")]
    rows = [
        [
            ours(short(hold.name), "bold"),
            _subject(hold),
            ours(clock(epoch(hold.create_time), now=shown.now, zone=shown.zone)),
            theirs(hold.held_by),
            theirs(hold.reason),
        ]
        for hold in told.legal_holds
    ]
    return [*lines, *table(_HEADERS, rows, width=list_width(shown))]


def _erased(told: retention_pb2.EraseContentsResponse) -> Iterator[Text]:
    yield ours(f"Erased: {told.sessions} sessions with {told.calls} calls.")
    if told.mandates:
        yield ours(f"And the words of {told.mandates} mandates that nobody had redeemed.")
    if told.sessions_open:
        yield ours("Left: ", "yellow") + ours(f"{told.sessions_open} sessions that are not over.")
    if told.sessions_held:
        yield ours("Left: ", "yellow") + ours(f"{told.sessions_held} under a legal hold.")


def _period(days: int) -> str:
    return f"for {days} days after their session has ended" if days else "for ever"


def _subject(hold: LegalHold) -> Text:
    kind = enum_word(LegalHold.Kind.DESCRIPTOR, hold.kind).lower()
    return ours(f"{kind} ") + theirs(short(hold.subject))

"""`callbroker holds`: a reviewer looks at exactly what will happen, and says yes or no to that."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import Line, reviewing
from broker.cli.hold_picture import headline, hold_picture
from broker.cli.json_output import enum_word, plain, print_json
from broker.cli.names import resolve, short
from broker.cli.options import AsJson, group
from broker.cli.screen import (
    Around,
    around,
    list_width,
    ours,
    say,
    shown_before,
    state,
    table,
    theirs,
)
from broker.cli.times import epoch, length
from broker.v1 import review_pb2
from broker.v1.review_pb2 import Hold
from broker.v1.review_pb2_grpc import ReviewServiceStub
from broker.v1.types_pb2 import Invocation

PAGE_SIZE: Final = 50

app = group("Calls that wait for a person.")

Name = Annotated[
    str, typer.Argument(metavar="HOLD", help="As `holds list` prints it, or the full name.")
]
Etag = Annotated[str, typer.Option(help="As `holds show` prints it: you decide what you saw.")]


@app.command("list", epilog="Example: callbroker holds list --mine")
def list_holds(
    *,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may decide.")] = False,
    decided: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits, oldest first."""
    with reviewing() as line:
        holds = list(_all(line, include_decided=decided, only_eligible=mine))
    if as_json:
        print_json({"holds": [plain(hold) for hold in holds]})
        return
    shown = around()
    if holds:
        say(*list_picture(holds, shown, width=list_width(shown)))
    waiting = [hold for hold in holds if hold.state == Hold.STATE_PENDING]
    if waiting:
        one = next((hold for hold in waiting if hold.eligible), waiting[0])
        say("", f"{_count(len(waiting))}. Look at one: callbroker holds show {short(one.name)}")
    elif not holds:
        say("Nothing waits for a person.")


@app.command(epilog="Example: callbroker holds show h-3fa9c2d1")
def show(name: Name, *, as_json: AsJson = False) -> None:
    """One hold, as a reviewer must know it.

    Ends with the lines that approve and reject it.
    """
    with reviewing() as line:
        request = review_pb2.GetHoldRequest(name=_resolved(line, name))
        hold = line.ask(line.stub.GetHold, request).hold
    if as_json:
        print_json(plain(hold))
    else:
        say(*hold_picture(hold, around()))


@app.command(epilog="Example: callbroker holds approve h-3fa9c2d1 --etag 3")
def approve(
    name: Name,
    *,
    etag: Etag,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say yes to exactly the call that was shown.

    It is then decided again, with your yes; what has changed meanwhile makes the yes void.
    """
    with reviewing() as line:
        request = review_pb2.ApproveHoldRequest(
            name=_resolved(line, name), etag=etag, reason=reason
        )
        hold = line.ask(line.stub.ApproveHold, request).hold
    _tell(hold, as_json=as_json)


@app.command(
    epilog='Example: callbroker holds reject h-3fa9c2d1 --etag 3 --reason "Not this customer."'
)
def reject(
    name: Name,
    *,
    etag: Etag,
    reason: Annotated[str, typer.Option(help="Why; the agent's model reads it.")],
    as_json: AsJson = False,
) -> None:
    """Say no, and why.

    One is enough: nothing runs, and the agent's model is told that it is not to ask again.
    """
    with reviewing() as line:
        request = review_pb2.RejectHoldRequest(name=_resolved(line, name), etag=etag, reason=reason)
        hold = line.ask(line.stub.RejectHold, request).hold
    _tell(hold, as_json=as_json)


def list_picture(holds: list[Hold], shown: Around, *, width: int) -> list[Text]:
    """The lines of `holds list`."""
    rows = [
        [
            ours(short(hold.name), "bold"),
            _where(hold, shown),
            theirs(hold.principal),
            shown_before(hold.summary),
            ours(" ").join([theirs(r.code) for r in hold.requirements]),
            ours("" if hold.eligible or hold.state != Hold.STATE_PENDING else "not yours"),
        ]
        for hold in holds
    ]
    headers = ("Hold", "Time left", "For", "What would happen", "Stopped by", "")
    return table(headers, rows, width=width)


def _where(hold: Hold, shown: Around) -> Text:
    """How long a pending one still waits; the state of any other."""
    if hold.state == Hold.STATE_PENDING:
        return ours(length(epoch(hold.decide_by_time) - shown.now), "yellow")
    return state(enum_word(Hold.State.DESCRIPTOR, hold.state))


def _count(waiting: int) -> str:
    return "1 call waits for a person" if waiting == 1 else f"{waiting} calls wait for a person"


def _tell(hold: Hold, *, as_json: bool) -> None:
    """What the say led to; a hold that it made void is a no."""
    if as_json:
        print_json(plain(hold))
    else:
        say(*(Text.assemble(*parts) for parts in _outcome(hold, around())))
    if hold.state in {Hold.STATE_VOID, Hold.STATE_EXPIRED, Hold.STATE_WITHDRAWN}:
        raise typer.Exit(1)


def _outcome(hold: Hold, shown: Around) -> Iterator[list[Text]]:
    head = [ours(short(hold.name), "bold"), ours(" is "), headline(hold, shown)]
    match hold.state:
        case Hold.STATE_PENDING:
            missing = [
                f"{r.approvals_required - r.approvals_given} more of {' or '.join(r.reviewers)}"
                for r in hold.requirements
                if r.approvals_given < r.approvals_required
            ]
            yield [*head, ours("; needed: "), theirs(", ".join(missing))]
        case Hold.STATE_VOID:
            yield [*head, ours(".")]
            yield [ours("What was shown had changed. A new hold or a denial took its place.")]
        case _:
            yield [*head, ours(".")]
    if hold.invocation_state == Invocation.STATE_RUNNING:
        yield [ours(f"Follow it: callbroker invocations show {short(hold.invocation)}")]


def _resolved(line: Line[ReviewServiceStub], name: str) -> str:
    return resolve("holds", name, (hold.name for hold in _all(line, include_decided=True)))


def _all(
    line: Line[ReviewServiceStub], *, include_decided: bool = False, only_eligible: bool = False
) -> Iterator[Hold]:
    token = ""
    while True:
        request = review_pb2.ListHoldsRequest(
            include_decided=include_decided,
            only_eligible=only_eligible,
            page_size=PAGE_SIZE,
            page_token=token,
        )
        page = line.ask(line.stub.ListHolds, request)
        yield from page.holds
        token = page.next_page_token
        if not token:
            return

"""`callbroker holds`: a reviewer looks at exactly what will happen, and says yes or no to that."""

from typing import Annotated

import typer
from rich.text import Text

from broker.cli.connection import reviewing
from broker.cli.hold_acts import give_back, narrow, second, take, take_back_approval
from broker.cli.hold_answers import Etag, Name, all_holds, resolved, tell
from broker.cli.hold_changes import taken_line
from broker.cli.hold_picture import hold_picture
from broker.cli.json_output import enum_word, plain, print_json
from broker.cli.names import short
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
from broker.cli.shown_values import MONEY
from broker.cli.times import epoch, length
from broker.v1 import review_pb2
from broker.v1.review_pb2 import Hold

app = group("Calls that wait for a person.")


@app.command("list", epilog="Example: callbroker holds list --mine")
def list_holds(
    *,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may decide.")] = False,
    decided: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits, oldest first."""
    with reviewing() as line:
        holds = list(all_holds(line, include_decided=decided, only_eligible=mine))
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
        request = review_pb2.GetHoldRequest(name=resolved(line, name))
        hold = line.ask(line.stub.GetHold, request).hold
    if as_json:
        print_json(plain(hold))
    else:
        say(*hold_picture(hold, around()))


@app.command(epilog="Example: callbroker holds approve h-3fa9c2d1 --etag 3 --take-back 10")
def approve(
    name: Name,
    *,
    etag: Etag,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    take_back: Annotated[
        int,
        typer.Option(
            min=0, max=60, metavar="SECONDS", help="It does not run before, and can be taken back."
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Say yes to exactly the call that was shown.

    It is then decided again, with your yes; what has changed meanwhile makes the yes void.
    """
    with reviewing() as line:
        request = review_pb2.ApproveHoldRequest(
            name=resolved(line, name), etag=etag, reason=reason, take_back_s=take_back
        )
        hold = line.ask(line.stub.ApproveHold, request).hold
    tell(hold, as_json=as_json)


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
        request = review_pb2.RejectHoldRequest(name=resolved(line, name), etag=etag, reason=reason)
        hold = line.ask(line.stub.RejectHold, request).hold
    tell(hold, as_json=as_json)


app.command(epilog="Example: callbroker holds take h-3fa9c2d1")(take)
app.command("give-back", epilog="Example: callbroker holds give-back h-3fa9c2d1")(give_back)
app.command("take-back", epilog="Example: callbroker holds take-back h-3fa9c2d1 --etag 4")(
    take_back_approval
)
app.command(epilog='Example: callbroker holds second h-3fa9c2d1 --etag 3 --reason "Unusual."')(
    second
)
app.command(
    epilog="Example: callbroker holds narrow h-3fa9c2d1 --etag 3 --less /amount_minor=4000"
)(narrow)


def list_picture(holds: list[Hold], shown: Around, *, width: int) -> list[Text]:
    """The lines of `holds list`."""
    rows = [
        [
            ours(short(hold.name), "bold"),
            _where(hold, shown),
            ours(
                length(shown.now - epoch(hold.create_time)) if hold.HasField("create_time") else ""
            ),
            _amount(hold),
            theirs(hold.principal),
            shown_before(hold.summary),
            ours(" ").join([theirs(r.code) for r in hold.requirements]),
            _whose(hold, shown),
        ]
        for hold in holds
    ]
    headers = ("Hold", "Time left", "Age", "Amount", "For", "What would happen", "Stopped by", "")
    return table(headers, rows, width=width, below=headers.index("What would happen"))


def _where(hold: Hold, shown: Around) -> Text:
    """How long a pending one still waits; the state of any other."""
    if hold.state == Hold.STATE_PENDING:
        return ours(length(epoch(hold.decide_by_time) - shown.now), "yellow")
    return state(enum_word(Hold.State.DESCRIPTOR, hold.state))


def _amount(hold: Hold) -> Text:
    """The first argument that is money."""
    rendered = (argument.rendered for argument in hold.arguments)
    return shown_before(next((one for one in rendered if MONEY.fullmatch(one)), ""))


def _whose(hold: Hold, shown: Around) -> Text:
    """Who is at it, or that it is none of this reviewer's."""
    if hold.state == Hold.STATE_PENDING and not hold.eligible:
        return ours("not yours")
    return ours("taken by ") + theirs(hold.taken_by) if taken_line(hold, shown) else ours("")


def _count(waiting: int) -> str:
    return "1 call waits for a person" if waiting == 1 else f"{waiting} calls wait for a person"

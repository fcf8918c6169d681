"""What a reviewer does with a hold short of deciding: take it, give it back, a second, less of it.

Each is an act of its own in the log. None of them runs anything.
"""

import json
from typing import Annotated, Final

import typer

from broker.cli.connection import reviewing
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.hold_answers import Etag, Name, resolved, tell
from broker.cli.hold_picture import hold_picture
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson
from broker.cli.screen import around, say
from broker.v1 import review_pb2

_LESS_HELP: Final = (
    "What is there instead, as JSON, money in minor units; once for each argument that is less."
)

_EXAMPLE_BELOW: Final = 1e9

ForTheRecord = Annotated[str, typer.Option("--reason", help="For the record.")]


def take(name: Name, *, as_json: AsJson = False) -> None:
    """Say that you are at it.

    For five minutes nobody else approves it; a no is heard all the same. Again: five minutes more.
    """
    with reviewing() as line:
        request = review_pb2.TakeHoldRequest(name=resolved(line, name))
        hold = line.ask(line.stub.TakeHold, request).hold
    tell(hold, as_json=as_json)


def give_back(name: Name, *, as_json: AsJson = False) -> None:
    """Say that you are at it no more."""
    with reviewing() as line:
        request = review_pb2.GiveBackHoldRequest(name=resolved(line, name))
        hold = line.ask(line.stub.GiveBackHold, request).hold
    tell(hold, as_json=as_json)


def take_back_approval(name: Name, *, etag: Etag, as_json: AsJson = False) -> None:
    """Take your own approval back, as long as it has not been used."""
    with reviewing() as line:
        request = review_pb2.TakeBackApprovalRequest(name=resolved(line, name), etag=etag)
        hold = line.ask(line.stub.TakeBackApproval, request).hold
    tell(hold, as_json=as_json)


def second(name: Name, *, etag: Etag, reason: ForTheRecord = "", as_json: AsJson = False) -> None:
    """Ask for one Person more than are needed."""
    with reviewing() as line:
        request = review_pb2.AskSecondReviewRequest(
            name=resolved(line, name), etag=etag, reason=reason
        )
        hold = line.ask(line.stub.AskSecondReview, request).hold
    tell(hold, as_json=as_json)


def narrow(
    name: Name,
    *,
    etag: Etag,
    less: Annotated[list[str], typer.Option(metavar="POINTER=JSON", help=_LESS_HELP)],
    reason: ForTheRecord = "",
    as_json: AsJson = False,
) -> None:
    """Make what was asked less.

    What is less waits in its place under a hold of its own, which is shown: approve that.
    """
    changes = dict(_change(one) for one in less)
    if len(changes) != len(less):
        raise CommandFailed("An argument is made less once.", exit_code=ExitCode.USAGE)
    with reviewing() as line:
        request = review_pb2.NarrowHoldRequest(
            name=resolved(line, name), etag=etag, changes_json=changes, reason=reason
        )
        hold = line.ask(line.stub.NarrowHold, request).hold
    if as_json:
        print_json(plain(hold))
    else:
        say(*hold_picture(hold, around()))


def _change(text: str) -> tuple[str, str]:
    """A pointer and the JSON that is to be there.

    Raises:
        CommandFailed: it is not both.
    """
    pointer, equals, value = text.partition("=")
    try:
        less = json.loads(value)
    except ValueError:
        less, equals = None, ""
    if not equals:
        raise CommandFailed(
            f"{text!r} is no argument and what is to be there instead, such as /amount_minor=4000.",
            exit_code=ExitCode.USAGE,
        )
    if isinstance(less, float):  # 60.00 and 6e1 are 60, and what was made less stays less
        raise CommandFailed(_whole(pointer, less), exit_code=ExitCode.USAGE)
    return pointer, value


def _whole(pointer: str, less: float) -> str:
    """How a number is written that has a point or an exponent."""
    if not pointer.endswith("_minor"):
        return f"{pointer}: write a whole number, without a point or an exponent, such as 4000."
    minor = round(less * 100) if 0 <= less < _EXAMPLE_BELOW else 6_000
    written = f"{minor} is EUR {minor / 100:.2f}"
    return f"{pointer} counts minor units, without a point or an exponent: {written}."

"""Which hold is meant, and what came of an act on it."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import Line
from broker.cli.hold_changes import take_back_line, taken_line
from broker.cli.hold_picture import headline
from broker.cli.json_output import plain, print_json
from broker.cli.names import resolve, short
from broker.cli.screen import Around, around, ours, say, theirs
from broker.core.text import visible
from broker.v1 import review_pb2
from broker.v1.review_pb2 import Hold
from broker.v1.review_pb2_grpc import ReviewServiceStub
from broker.v1.types_pb2 import Invocation

PAGE_SIZE: Final = 50

Name = Annotated[
    str, typer.Argument(metavar="HOLD", help="As `holds list` prints it, or the full name.")
]
Etag = Annotated[str, typer.Option(help="As `holds show` prints it: you decide what you saw.")]


def tell(hold: Hold, *, as_json: bool) -> None:
    """What the say led to; a hold that it made void is a no."""
    if as_json:
        print_json(plain(hold))
    else:
        say(*(Text.assemble(*parts) for parts in outcome_lines(hold, around())))
    if hold.state in {Hold.STATE_VOID, Hold.STATE_EXPIRED, Hold.STATE_WITHDRAWN}:
        raise typer.Exit(1)


def outcome_lines(hold: Hold, shown: Around) -> Iterator[list[Text]]:
    """Where it is now, line by line in parts, and what can be done about it."""
    head = [ours(short(hold.name), "bold"), ours(" is "), headline(hold, shown)]
    match hold.state:
        case Hold.STATE_PENDING:
            missing: dict[str, int] = {}
            for r in hold.requirements:
                group = " or ".join(r.reviewers)
                left = r.approvals_required - r.approvals_given
                missing[group] = max(left, missing.get(group, 0))
            told = ", ".join(
                f"{left} more of {group}" for group, left in missing.items() if left > 0
            )
            needed = ours("; needed: ") + theirs(told) if told else ours("")
            yield [*head, needed, ours("; etag "), theirs(hold.etag)]
            yield from ([ours("Taken "), line] for line in taken_line(hold, shown))
        case Hold.STATE_APPROVED if take_back_line(hold, shown):
            yield [*head, ours(".")]
            yield [ours("It runs "), *take_back_line(hold, shown), ours(":")]
            again = f"{short(hold.name)} --etag {visible(hold.etag)}"
            yield [ours(f"callbroker holds take-back {again}", "bold")]
        case Hold.STATE_VOID:
            yield [*head, ours(".")]
            yield [ours("What was shown had changed. A new hold or a denial took its place.")]
        case _:
            yield [*head, ours(".")]
    if hold.invocation_state == Invocation.STATE_RUNNING:
        yield [ours(f"Follow it: callbroker invocations show {short(hold.invocation)}")]


def resolved(line: Line[ReviewServiceStub], name: str) -> str:
    """The full name of the hold that is meant.

    Raises:
        CommandFailed: none is, or several are.
    """
    return resolve("holds", name, (hold.name for hold in all_holds(line, include_decided=True)))


def all_holds(
    line: Line[ReviewServiceStub], *, include_decided: bool = False, only_eligible: bool = False
) -> Iterator[Hold]:
    """Every hold, page by page, oldest first."""
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

"""`callbroker access`: who may do what, through which agent, and why; given and taken back."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.text import Text

from broker.cli import environment
from broker.cli.connection import Line, administering, looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import plain, print_json
from broker.cli.names import full
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import Around, around, list_width, ours, say, table, theirs
from broker.cli.times import clock, epoch, parse_end
from broker.core.text import visible_value
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import AccessLine, Grant, ShowAccessResponse
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.types_pb2 import Scope

app = group("Who may do what.")

Subject = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="A principal's id, groups/NAME or agents/ID.")
]


@app.command(epilog="Example: callbroker access show --principal customers/c-204 --group customers")
def show(
    *,
    principal: Annotated[str, typer.Option(help="Whose authority; also groups/… or agents/….")],
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="As a host would say it of them; repeatable."),
    ] = None,
    agent: Annotated[str, typer.Option(help="Only through this agent.")] = "",
    as_json: AsJson = False,
) -> None:
    """What a principal may do, through which agent, and why.

    A call needs the scope of its principal, of its agent and of its session alike; a session's
    mandate narrows further.
    """
    with looking() as line:
        request = admin_pb2.ShowAccessRequest(principal=principal, groups=group or (), agent=agent)
        told = line.ask(line.stub.ShowAccess, request)
    if as_json:
        print_json(plain(told))
        return
    shown = around()
    say(*access_picture(told, shown, width=list_width(shown)))
    if not told.lines and not group:
        say("A host may say that they are in a group; what that gives: --group GROUP")


@app.command(
    epilog="Example: callbroker access grant groups/customers refunds:write --where "
    '\'/currency=["EUR"]\' --expires 30d --reason "Refunds go live."'
)
def grant(
    subject: Subject,
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="Such as refunds:write.")],
    *,
    reason: Reason,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REF=JSON",
            help='Only where this value is one of a JSON array: /currency=["EUR"]; repeatable.',
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="END", help="After 30d, or at 2027-01-31T18:00 (UTC).")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Give a principal, a group or an agent a scope."""
    request = admin_pb2.CreateGrantRequest(
        subject=subject,
        scope=Scope(name=scope, where_json=dict(_bound(text) for text in where or ())),
        expire_time=parse_end(expires, now=environment.now()) if expires else None,
        reason=reason,
    )
    with administering() as line:
        made = line.ask(line.stub.CreateGrant, request).grant
    if as_json:
        print_json(plain(made))
    else:
        say(theirs(made.subject) + ours(" has ") + _scope(made) + ours(f" ({made.name})."))


@app.command(
    epilog='Example: callbroker access revoke groups/customers refunds:write --reason "Too soon."'
)
def revoke(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="Who has it; or a grant's full name.")
    ],
    scope: Annotated[
        str, typer.Argument(metavar="SCOPE", help="None with a grant's name.", show_default=False)
    ] = "",
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Take a scope back.

    Every grant of it that this subject has, or the one that is named.
    """
    named = full("grants", subject)
    if bool(scope) is (named is not None):
        raise CommandFailed(
            "Give a subject and a scope, or the full name of one grant.", exit_code=ExitCode.USAGE
        )
    with administering() as line:
        names = [named] if named else _named(line, subject, scope)
        for name in names:
            request = admin_pb2.DeleteGrantRequest(name=name, reason=reason)
            line.ask(line.stub.DeleteGrant, request)
    if as_json:
        print_json({"revoked": names})
    else:
        say(*(ours("Taken back: ") + theirs(name) for name in names))


def access_picture(told: ShowAccessResponse, shown: Around, *, width: int) -> list[Text]:
    """The lines of `access show`."""
    lines: list[Text] = []
    for agent, through in itertools.groupby(told.lines, key=lambda line: line.agent):
        lines += [ours("Through ") + theirs(agent, "bold")]
        rows = [row for line in through for row in _rows(line, shown)]
        lines += [*table(("Scope", "Tools", "Who has it, and why"), rows, width=width), ours("")]
    if not told.lines:
        lines += [ours("Nothing, through no agent."), ours("")]
    if told.unused_grants:
        rows = [[_scope(one), _why(one, shown)] for one in told.unused_grants]
        lines += [ours("Granted, but no agent can use it")]
        lines += [*table(("Scope", "Who has it, and why"), rows, width=width), ours("")]
    return lines[:-1]


def _rows(line: AccessLine, shown: Around) -> Iterator[Sequence[Text]]:
    """A row for each grant; the principal's and the agent's are both needed."""
    tools = theirs(", ".join(line.tools)) if line.tools else ours("none in force", "dim")
    first = [theirs(line.scope, "bold"), tools]
    for one in (*line.principal_grants, *line.agent_grants):
        yield [*first, _why(one, shown)]
        first = [ours(""), ours("")]


def _why(one: Grant, shown: Around) -> Text:
    told = theirs(f"{one.subject}: ") + ours(visible_value(one.reason))
    told += theirs(f", by {one.granted_by}")
    if one.scope.where_json:
        told += ours(", only where ") + _where(one)
    if one.HasField("expire_time"):
        end = clock(epoch(one.expire_time), now=shown.now, zone=shown.zone)
        told += ours(f", until {end}")
    return told


def _scope(one: Grant) -> Text:
    where = ours(" where ") + _where(one) if one.scope.where_json else ours("")
    return theirs(one.scope.name, "bold") + where


def _where(one: Grant) -> Text:
    bounds = sorted(one.scope.where_json.items())
    return ours(" and ").join([theirs(f"{reference} in {values}") for reference, values in bounds])


def _bound(text: str) -> tuple[str, str]:
    reference, equals, values = text.partition("=")
    try:
        parsed = json.loads(values) if equals else None
    except ValueError:
        parsed = None
    if not isinstance(parsed, list):
        raise CommandFailed(
            f'--where {text!r}: write a reference and a JSON array, such as /currency=["EUR"].',
            exit_code=ExitCode.USAGE,
        )
    return reference, values


def _named(line: Line[AdminServiceStub], subject: str, scope: str) -> list[str]:
    told = line.ask(line.stub.ShowAccess, admin_pb2.ShowAccessRequest(principal=subject))
    grants = [*told.unused_grants, *(g for one in told.lines for g in one.principal_grants)]
    names = {g.name for g in grants if g.subject == subject and g.scope.name == scope}
    if not names:
        raise CommandFailed(f"{subject} has no grant of {scope}.")
    return sorted(names)

"""`callbroker freeze`: the kill switch. It holds from the next decision on, and at hand-over."""

import enum
from typing import Annotated

import typer

from broker.cli.connection import administering
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.freezing import subject
from broker.cli.invocations import resolved_session
from broker.cli.json_output import plain, print_json
from broker.cli.names import short
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import ours, say
from broker.cli.times import parse_length
from broker.v1 import admin_pb2

app = group("")


class Kind(enum.StrEnum):
    """What can be stopped."""

    TOOL = "tool"
    AGENT = "agent"
    PRINCIPAL = "principal"
    SESSION = "session"
    ALL = "all"


@app.command(epilog='Example: callbroker freeze tool refund --reason "Looking into it." --for 2h')
def freeze(
    kind: Annotated[
        Kind, typer.Argument(metavar="KIND", help="tool, agent, principal, session or all.")
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which one; none for `all`.", show_default=False)
    ] = "",
    *,
    reason: Reason,
    life: Annotated[
        str, typer.Option("--for", metavar="LENGTH", help="Lifts by itself after this: 45m, 2h.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Stop something from the next decision on, until it is lifted.

    Calls that a runner already has go on; nothing else does, approved or not.
    """
    if bool(name) is (kind is Kind.ALL):
        wanted = "names nothing" if kind is Kind.ALL else "needs a name"
        raise CommandFailed(f"A freeze of {kind} {wanted}.", exit_code=ExitCode.USAGE)
    with administering() as line:
        request = admin_pb2.CreateFreezeRequest(
            kind=admin_pb2.Freeze.Kind.Value(f"KIND_{kind.name}"),
            subject=resolved_session(line, name) if kind is Kind.SESSION else name,
            reason=reason,
            life=parse_length(life) if life else None,
        )
        made = line.ask(line.stub.CreateFreeze, request).freeze
    if as_json:
        print_json(plain(made))
        return
    lift = f'callbroker unfreeze {short(made.name)} --reason "..."'
    say(ours("Frozen: ") + subject(made) + ours(f". It is lifted by: {lift}"))

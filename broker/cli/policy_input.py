"""`callbroker policy input`: what policy was asked about a past call, for whoever asks it again."""

from typing import Annotated

import typer

from broker.cli.connection import looking
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson
from broker.cli.recorded import asked_decision, find_decision

EPILOG = (
    "Example: callbroker policy input i-9c2e01ab "
    "| opa eval -b bundle.tar.gz -I data.broker.decision.decision"
)

Call = Annotated[
    str, typer.Argument(metavar="CALL", help="As `invocations list` prints it, or the full name.")
]


def policy_input(call: Call, *, as_json: AsJson = False) -> None:
    """The exact document that policy was asked about a past call.

    It is JSON in any case; --json gives the whole record, the verdicts of every stage with it.
    """
    with looking() as line:
        told = find_decision(line, call)
    if as_json:
        print_json(plain(told))
        return
    print_json(asked_decision(told).question)

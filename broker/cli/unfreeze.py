"""`callbroker unfreeze`: lets something go that was stopped."""

from typing import Annotated

import typer

from broker.cli.connection import administering
from broker.cli.json_output import print_json
from broker.cli.names import resolve, short
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import ours, say
from broker.v1 import admin_pb2

app = group("")


@app.command(epilog='Example: callbroker unfreeze f-3fa9c2d1 --reason "It was a false alarm."')
def unfreeze(
    name: Annotated[str, typer.Argument(metavar="FREEZE", help="As `freezes` prints it.")],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Lift a freeze."""
    with administering() as line:
        known = line.ask(line.stub.ListFreezes, admin_pb2.ListFreezesRequest()).freezes
        whole = resolve("freezes", name, (freeze.name for freeze in known))
        request = admin_pb2.DeleteFreezeRequest(name=whole, reason=reason)
        line.ask(line.stub.DeleteFreeze, request)
    if as_json:
        print_json({"name": whole, "lifted": True})
    else:
        say(ours(f"{short(whole)} is lifted."))

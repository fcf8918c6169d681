"""`callbroker freezes`: what is stopped now, by whom and why."""

from broker.cli.connection import looking
from broker.cli.freezing import freezes_picture
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import around, list_width, say
from broker.v1.admin_pb2 import ListFreezesRequest

app = group("")


@app.command(epilog="Example: callbroker freezes")
def freezes(*, as_json: AsJson = False) -> None:
    """The freezes in force, oldest first."""
    with looking() as line:
        found = list(line.ask(line.stub.ListFreezes, ListFreezesRequest()).freezes)
    if as_json:
        print_json({"freezes": [plain(freeze) for freeze in found]})
        return
    shown = around()
    if found:
        say(*freezes_picture(found, shown, width=list_width(shown)))
    else:
        say("Nothing is frozen.")

"""`callbroker version`: the releases that decide here."""

from broker import __version__
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import say
from broker.policy.opa_binary import OPA_VERSION

app = group("")


@app.command(epilog="Example: callbroker version")
def version(*, as_json: AsJson = False) -> None:
    """The release of this command, and of the OPA that it decides with."""
    if as_json:
        print_json({"callbroker": __version__, "opa": OPA_VERSION})
    else:
        say(f"callbroker {__version__}, OPA {OPA_VERSION}")

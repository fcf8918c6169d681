"""`callbroker migrate`: makes the database, or brings it to this release. Forward only."""

from broker.cli.environment import settings
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import ours, say, theirs

app = group("")


@app.command(epilog="Example: callbroker migrate")
def migrate(*, as_json: AsJson = False) -> None:
    """Make the database and its keys, or bring it to this release, while no broker runs."""
    from broker.bootstrap import prepare  # noqa: PLC0415 - the database, for this alone
    from broker.cli.opening import refusing  # noqa: PLC0415

    configured = settings()
    with refusing():
        prepare(configured)
    if as_json:
        print_json({"state": str(configured.state), "ready": True})
    else:
        say(ours("Ready: ") + theirs(str(configured.state)))

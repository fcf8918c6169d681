"""`callbroker init`: a project of one's own that runs; what an operator does once is done."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli.json_output import print_json
from broker.cli.opa import ensure_opa
from broker.cli.options import AsJson, group
from broker.cli.project_files import new_project
from broker.cli.screen import ours, say, theirs
from broker.config import CONFIG_NAME
from broker.policy.opa_binary import OPA_VERSION
from broker.token_files import token_path

app = group("")


@app.command(epilog="Example: callbroker init my-project")
def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Made where it is missing.")
    ] = Path(),
    *,
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Where its broker will listen.")
    ] = 7400,
    as_json: AsJson = False,
) -> None:
    """Make a project of one's own that runs.

    Two tools, a rule, a worker, an agent, the database, and a token for each of them. Builds OPA
    from source, about two minutes, where this machine has none.
    """
    from broker.cli.project_making import make_ready  # noqa: PLC0415 - the broker, for this alone

    opa, took_s = ensure_opa(quiet=as_json)
    with new_project(directory, port=port):
        configured = make_ready(directory / CONFIG_NAME)
    if as_json:
        print_json({"directory": str(directory.resolve()), "opa": str(opa)})
        return
    built = f"   built from source in {took_s:.0f} s" if took_s else ""
    tokens = token_path(configured, "").relative_to(directory.resolve())
    say(
        f"OPA {OPA_VERSION}   ready{built}",
        "Project      ready   2 tools, a rule family beside the shipped ones, preset balanced",
        ours("Tokens       ready   ") + theirs(f"{tokens}: for you alone"),
        "",
        "Now, a terminal each:",
        "",
    )
    if directory.resolve() != Path.cwd():
        say(ours("  cd ") + theirs(str(directory)))
    say(
        "  callbroker serve --watch",
        "  python worker.py",
        "  python agent.py",
        "  callbroker holds list",
    )

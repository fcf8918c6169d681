"""`callbroker serve`: runs until it is told to stop, and then lets what is under way end."""

from typing import Annotated

import typer

from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.options import group
from broker.core.addresses import listens_here_alone

app = group("")


@app.command(epilog="Example: callbroker serve --watch")
def serve(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Instead of the one in `listen`; 0 for a free one."),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Put `tools` and `policies` of the configuration in force whenever a file of "
            "theirs changes. For a developer's own machine.",
        ),
    ] = False,
) -> None:
    """Run the broker until Ctrl-C or SIGTERM.

    Calls that are under way then have `drain_s` to end, 20 seconds unless set; told to stop once
    more, it waits for none.
    """
    from broker.cli.serving import run  # noqa: PLC0415 - the broker, for this alone

    configured = settings()
    if port is not None:
        host = configured.listen.rpartition(":")[0]
        configured = configured.model_copy(update={"listen": f"{host}:{port}"})
    if watch and not listens_here_alone(configured.listen):
        raise CommandFailed(
            f"--watch is for a developer's own machine, and {configured.listen} is reachable from "
            "elsewhere: put tools and policies in force with `callbroker tools put` and "
            "`callbroker policy activate`.",
            exit_code=ExitCode.USAGE,
        )
    run(configured, watch=watch)

"""`callbroker serve`: runs until it is told to stop, and then lets what is under way end."""

import asyncio
import contextlib
import signal
from typing import Annotated

import typer

from broker import log
from broker.app import Application
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.opening import refusing
from broker.cli.options import group
from broker.cli.watch import watching
from broker.config import Settings, is_loopback
from broker.core.errors import BrokerError

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

    Calls that are under way then have 20 seconds to end.
    """
    configured = settings()
    if port is not None:
        host = configured.listen.rpartition(":")[0]
        configured = configured.model_copy(update={"listen": f"{host}:{port}"})
    if watch and not is_loopback(configured.listen):
        raise CommandFailed(
            f"--watch is for a developer's own machine, and {configured.listen} is reachable from "
            "elsewhere: put tools and policies in force with `callbroker tools put` and "
            "`callbroker policy activate`.",
            exit_code=ExitCode.USAGE,
        )
    log.configure(form=configured.log_format, level=configured.log_level)
    with refusing():
        asyncio.run(_serve(configured, watch=watch))


async def _serve(configured: Settings, *, watch: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with Application(configured) as broker, contextlib.AsyncExitStack() as stack:
            if watch:
                await stack.enter_async_context(watching(configured, broker.address))
            ended = asyncio.ensure_future(broker.wait())
            stopped = asyncio.ensure_future(stopping.wait())
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            stopped.cancel()
    except BrokerError as error:
        raise CommandFailed(f"The broker cannot start: {error}") from error

"""Runs a broker until it is told to stop, and then lets what is under way end."""

import asyncio
import contextlib
import signal
import sys

from broker import log
from broker.app import Application
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.loop import run_on_loop, settle
from broker.cli.opening import refusing
from broker.cli.screen import say
from broker.cli.watch import watching
from broker.config import Settings
from broker.core.errors import BrokerError
from broker.store.addresses import is_file
from broker.store.sqlite import path_of
from broker.token_files import save_token
from broker.web.opening import LINK_LIFE_S

LINK_NAME = "review-link"


def run(configured: Settings, *, watch: bool) -> None:
    """Serve.

    Args:
        configured: the broker's settings.
        watch: put tools and policies in force whenever a file of theirs changes.

    Raises:
        CommandFailed: it cannot start.
    """
    log.configure(form=configured.log_format, level=configured.log_level)
    with refusing():
        _require_database(configured)
        run_on_loop(_serve(configured, watch=watch))


def _require_database(configured: Settings) -> None:
    """Before anything is made: whoever is in the wrong directory shall leave no keys there."""
    if not is_file(configured.database):
        return
    path = path_of(configured.database)
    if not path.is_file():
        raise CommandFailed(
            f"There is no database {path}.",
            exit_code=ExitCode.USAGE,
            findings=(
                "in a project, go where its callbroker.toml is, or name it in CALLBROKER_CONFIG",
                "`callbroker init DIR` makes a project; `callbroker migrate`, the database alone",
            ),
        )


async def _serve(configured: Settings, *, watch: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    broker = Application(configured)

    def told() -> None:
        if stopping.is_set():
            broker.hurry()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    try:
        async with broker, contextlib.AsyncExitStack() as stack:
            _tell(broker)
            settle()
            if watch:
                await stack.enter_async_context(watching(configured, broker.address))
            # Never cancelled: gRPC's own stopping waits for the same future, and ends it.
            ended = asyncio.create_task(broker.wait())
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
    except BrokerError as error:
        raise CommandFailed(f"The broker cannot start: {error}") from error


def _tell(broker: Application) -> None:
    """To whoever sits at the terminal. Elsewhere a log would keep the link: there it is a file."""
    if broker.pages is None:
        return
    if not broker.pages.link:
        say(f"Review  {broker.pages.url}")
        return
    kept = broker.settings.state / LINK_NAME
    save_token(kept, broker.pages.link)
    if sys.stdout.isatty():
        minutes = round(LINK_LIFE_S / 60)
        say(f"Review  {broker.pages.link}")
        say(f"        one-time link, {minutes} minutes, this machine only")
    else:
        say(f"Review  {broker.pages.url}   the link to sign in with is in {kept}")

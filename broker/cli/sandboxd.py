"""`callbroker sandboxd`: the one process that holds a container engine's socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.options import group

app = group("")

_MISSING = "`callbroker sandboxd` needs more than is installed: pip install 'callbroker[sandboxes]'"


@app.command(epilog="Example: callbroker sandboxd --state /var/lib/callbroker/sandboxd")
def sandboxd(
    *,
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="unix:PATH, or HOST:PORT with mutual TLS."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The container engine: unix:///var/run/docker.sock."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of this node's own.")
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Show every setting and stop.")
    ] = False,
) -> None:
    """Run a sandbox node until Ctrl-C or SIGTERM.

    It gives each call of a tool with `runner: sandbox` a container of its own. Run it as a user
    that may use the container engine, and the broker as another: whoever holds the engine's socket
    is root. Tell the broker about it with the setting sandboxes.nodes.

    Settings come from sandboxd.toml here, or the file that CALLBROKER_SANDBOXD_CONFIG names, and
    from the environment as CALLBROKER_SANDBOXD_NAME; --settings lists them.
    """
    given = {"listen": listen, "engine": engine, "state": state}
    configured = _load({name: value for name, value in given.items() if value is not None})
    if settings:
        for line in _described(configured):
            typer.echo(line)
        return
    from broker import log  # noqa: PLC0415 - the node, for this alone
    from sandboxes.main import StartRefused, run  # noqa: PLC0415 - likewise

    log.configure(form=configured.log_format, level=configured.log_level)
    try:
        run(configured)
    except StartRefused as refused:
        raise CommandFailed(str(refused), exit_code=ExitCode.USAGE) from refused


def _load(given: dict[str, Any]) -> Any:
    try:
        import aiohttp  # noqa: F401, PLC0415 - an extra that may not be there
        import docker  # noqa: F401, PLC0415 - likewise

        from sandboxes.settings import SettingsRefused, load  # noqa: PLC0415 - for this alone
    except ImportError as missing:
        raise CommandFailed(_MISSING, exit_code=ExitCode.USAGE) from missing
    try:
        return load(**given)
    except SettingsRefused as refused:
        raise CommandFailed(
            "The configuration of sandboxd cannot be used:",
            exit_code=ExitCode.USAGE,
            findings=refused.findings,
        ) from refused


def _described(configured: Any) -> Iterator[str]:
    for name, field in type(configured).model_fields.items():
        yield f"{name} = {getattr(configured, name)}"
        yield f"    {field.description}"

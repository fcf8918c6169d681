"""`callbroker opa`: the one release of the policy engine that may decide."""

import time
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import ours, say, theirs
from broker.policy import opa_binary

app = group("The policy engine.")


@app.command(epilog="Example: callbroker opa install")
def install(
    *,
    directory: Annotated[
        Path | None, typer.Option(help="Where to put it; where `serve` looks if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the pinned OPA, or build it from source: about two minutes, once."""
    path, took_s = ensure_opa(directory, quiet=as_json)
    if as_json:
        print_json({"path": str(path), "version": opa_binary.OPA_VERSION})
    else:
        built = f", built in {took_s:.0f} s" if took_s else ""
        say(ours(f"OPA {opa_binary.OPA_VERSION} is ready{built}: ") + theirs(str(path)))


def ensure_opa(directory: Path | None = None, *, quiet: bool = False) -> tuple[Path, float]:
    """The pinned OPA, built where there is none, and the seconds that building took.

    Raises:
        CommandFailed: there is none and it cannot be built.
    """
    try:
        found = opa_binary.find() if directory is None else None
        if found is not None:
            return found, 0.0
        target = directory or opa_binary.project_directory() or opa_binary.user_directory()
        if target is None:
            raise CommandFailed(
                "There is no home to put it in: give --directory.", exit_code=ExitCode.USAGE
            )
        begun = time.monotonic()
        if not quiet:
            _report(f"No OPA {opa_binary.OPA_VERSION} here: building it, which takes minutes, once")
        path = opa_binary.install(target, _silent if quiet else _step)
    except opa_binary.OpaBinaryError as error:
        raise CommandFailed(f"OPA: {error}") from error
    return path, time.monotonic() - begun


def _report(line: str) -> None:
    say(theirs(line))


def _step(line: str) -> None:
    say(ours("  ") + theirs(line))


def _silent(_: str) -> None:
    pass

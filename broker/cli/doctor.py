"""`callbroker doctor`: whether this machine can decide calls and hold hostile tools.

Where there are settings of a broker, also how that one is.
"""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import COLUMN_MIN, around, fold, ours, say, theirs
from broker.config import ConfigurationRefused, Settings, config_path, load
from broker.notices import check_channel
from broker.notify_settings import Notify
from broker.policy import opa_binary
from sandboxes.doctor import Finding, Level, findings, worst

_PART_WIDTH = 17
_LEVEL_WIDTH = 9
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.REFUSED: "bold red"}
_MISSING = "`callbroker doctor` needs more than is installed: pip install 'callbroker[sandboxes]'"
_SOCKETS = "unix:///"
_DEFAULT_ENGINE = "unix:///var/run/docker.sock"

app = group("")


@app.command(epilog="Example: callbroker doctor --strict")
def doctor(
    *,
    engine: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="CALLBROKER_SANDBOXD_ENGINE",
            help="The container engine's socket.",
        ),
    ] = _DEFAULT_ENGINE,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="Set modes in the broker's state directory, and make folders that are missing.",
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at the container engine and what is around it; say what is wrong and what mends it.

    Run it as the user that `callbroker sandboxd` runs as; on a broker's machine, where its settings
    are, as the broker's: then state, database and the broker itself are looked at too. Exit code 1
    where something is refused: a tool, or a stranger on this machine, could get out of a sandbox,
    or a broker could not start.
    """
    if not engine.startswith(_SOCKETS):
        raise CommandFailed(
            f"--engine {engine} is not a socket of this machine, {_SOCKETS}{{path}}",
            exit_code=ExitCode.USAGE,
        )
    try:
        from sandboxes.doctor_facts import look  # noqa: PLC0415 - only this needs the engine's package
    except ModuleNotFoundError as missing:
        raise CommandFailed(_MISSING, exit_code=ExitCode.USAGE) from missing
    settings, refusals = configured()
    found = (
        *_engine(findings(look(engine)), engine, settings),
        _opa(settings),
        *refusals,
        *_of_broker(settings, mend=mend),
    )
    level = worst(found)
    if as_json:
        told = [dataclasses.asdict(finding) for finding in found]
        print_json({"level": level, "findings": told})
    else:
        say(*picture(found, around().width))
    if level is Level.REFUSED or (strict and level is Level.WARNING):
        raise typer.Exit(ExitCode.NO)


def picture(found: tuple[Finding, ...], width: int) -> list[Text]:
    """The lines of `doctor`: the worst first, below each what mends it and where to read on."""
    order = list(Level)
    lines: list[Text] = []
    for finding in sorted(found, key=lambda each: order.index(each.level), reverse=True):
        level = ours(finding.level.ljust(_LEVEL_WIDTH), _STYLES[finding.level])
        margins = [Text.assemble((finding.part.ljust(_PART_WIDTH), "bold"), level)]
        room = max(width - margins[0].cell_len, COLUMN_MIN)
        pieces = [
            piece
            for text in (finding.said, finding.mend, finding.source)
            if text
            for piece in fold(theirs(text), room)
        ]
        margins += [ours(" " * margins[0].cell_len)] * (len(pieces) - 1)
        lines += [margin + piece for margin, piece in zip(margins, pieces, strict=True)]
    counts = {level: sum(each.level is level for each in found) for level in reversed(order)}
    lines.append(ours(", ".join(f"{count} {level}" for level, count in counts.items())))
    return lines


def configured() -> tuple[Settings | None, tuple[Finding, ...]]:
    """The settings where this is a broker's machine, or why it could not start with them."""
    if config_path() is None:
        return None, ()
    try:
        return load(), ()
    except ConfigurationRefused as refused:
        said = "; ".join(refused.findings)
        told = "callbroker config show lists the settings"
        return None, (Finding(level=Level.REFUSED, part="settings", said=said, mend=told),)


def channel_findings(channels: Sequence[Notify]) -> Iterator[Finding]:
    """Whether those who are told of holds could be told."""
    for channel in channels:
        problem = asyncio.run(check_channel(channel))
        if problem:
            level, said = Level.WARNING, f"{channel.name}: {problem}"
            mend = f"docs/operate.md says what {channel.kind} needs; then start the broker again"
            yield Finding(level=level, part="notify", said=said, mend=mend)
        else:
            said = f"{channel.name}: its files are there, and it may be spoken to"
            yield Finding(level=Level.OK, part="notify", said=said)


def _engine(
    found: tuple[Finding, ...], engine: str, settings: Settings | None
) -> tuple[Finding, ...]:
    """A broker that sends no call to a sandbox node needs no engine beside it."""
    is_needed = settings is None or settings.sandboxes.nodes
    if is_needed or Path(engine.removeprefix("unix://")).exists():
        return found
    return tuple(
        dataclasses.replace(one, level=Level.WARNING) if one.part == "engine" else one
        for one in found
    )


def _of_broker(settings: Settings | None, *, mend: bool) -> Iterator[Finding]:
    """How the broker is, and who is told of its holds: where this is its machine."""
    if settings is None:
        return
    from broker.cli.doctor_broker import broker_findings  # noqa: PLC0415 - the broker, for this

    yield from channel_findings(settings.notify)
    yield from broker_findings(settings, now=around().now, mend=mend)


def _opa(settings: Settings | None) -> Finding:
    """The engine that decides: without it nothing is allowed."""
    try:
        path = opa_binary.find(settings.opa if settings else None)
    except opa_binary.OpaBinaryError as error:
        return Finding(
            level=Level.REFUSED, part="opa", said=str(error), mend="callbroker opa install"
        )
    if path is None:
        said = f"{opa_binary.OPA_VERSION} is not here: a broker cannot decide"
        return Finding(level=Level.WARNING, part="opa", said=said, mend="callbroker opa install")
    return Finding(level=Level.OK, part="opa", said=f"{opa_binary.OPA_VERSION} at {path}")

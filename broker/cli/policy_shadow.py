"""`callbroker policy shadow`: a second policy is asked about live calls, and decides none."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli.connection import ACTIVATE_DEADLINE_S, administering, looking
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson
from broker.cli.screen import around, list_width, ours, say
from broker.cli.trees import policy_files
from broker.cli.trial_picture import shadow_picture
from broker.v1 import observing_pb2
from broker.v1.observing_pb2 import Shadow

EPILOG = 'Example: callbroker policy shadow policies/ --reason "Before it comes into force."'


def shadow(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The policy to ask; what was seen where left out."),
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Ask it no more.")] = False,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="FAMILY", help="Goes on purpose; repeatable.")
    ] = None,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the log.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask a second policy beside the one in force, and see what it would decide otherwise.

    Without DIR: the one that is asked now, and what differs, loosened calls first. No call waits
    for it, and what it says changes nothing.
    """
    if off and directory is not None:
        raise CommandFailed("--off names no directory.", exit_code=ExitCode.USAGE)
    if off:
        with administering() as line:
            stop = observing_pb2.StopShadowRequest(reason=reason)
            _tell(line.ask(line.stub.StopShadow, stop).shadow, said="Asked no more.", json=as_json)
        return
    if directory is not None:
        start = observing_pb2.StartShadowRequest(
            files=policy_files(directory),
            preset=preset or settings().preset,
            drop_families=drop or (),
            reason=reason,
        )
        with administering() as line:
            told = line.ask(line.stub.StartShadow, start, deadline_s=ACTIVATE_DEADLINE_S)
        _tell(told.shadow, said="See what differs: callbroker policy shadow", json=as_json)
        return
    with looking() as line:
        found = line.ask(line.stub.GetShadow, observing_pb2.GetShadowRequest())
    if found.HasField("shadow"):
        _tell(found.shadow, said="", json=as_json)
    elif as_json:
        print_json(plain(found))
    else:
        say("No shadow is on: callbroker policy shadow DIR")


def _tell(told: Shadow, *, said: str, json: bool) -> None:
    if json:
        print_json(plain(told))
        return
    shown = around()
    say(*shadow_picture(told, shown, width=list_width(shown)))
    if said:
        say(ours(said))

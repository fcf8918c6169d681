"""`callbroker policy observe`: a rule family that is watched before it stops anything."""

from collections.abc import Sequence
from typing import Annotated

import typer

from broker.cli.connection import Line, administering, looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson
from broker.cli.screen import around, list_width, ours, say, theirs
from broker.cli.times import parse_end
from broker.cli.trial_picture import for_whom, observations_picture, until
from broker.v1 import observing_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.observing_pb2 import Observation

EPILOG = 'Example: callbroker policy observe refunds --until 7d --reason "New; to see its holds."'


def observe(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help="One of the policy in force.")
    ] = "",
    *,
    agent: Annotated[str, typer.Option(help="For this agent alone; all where left out.")] = "",
    end_at: Annotated[
        str,
        typer.Option("--until", metavar="END", help="7d, or 2027-01-31T18:00; 30 days at most."),
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the log.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Give the family its force back.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="What is observed now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count a family's holds and denials as ALLOW, for a while; all are still recorded.

    Never on a tool that is destructive or open to the world, nor a denial of a call for which facts
    were looked up. Scopes, limits, freezes and silence stay what they are.
    """
    if listed or not family:
        if listed is bool(family) or end:
            raise CommandFailed("Name a family, or say --list.", exit_code=ExitCode.USAGE)
        _list(as_json=as_json)
    elif end:
        _end(family, agent, reason=reason, as_json=as_json)
    else:
        _begin(family, agent, end_at, reason=reason, as_json=as_json)


def _begin(family: str, agent: str, end_at: str, *, reason: str, as_json: bool) -> None:
    if not end_at or not reason:
        raise CommandFailed("Say --until and --reason.", exit_code=ExitCode.USAGE)
    shown = around()
    with administering() as line:
        request = observing_pb2.CreateObservationRequest(
            family=family,
            agent=agent,
            expire_time=parse_end(end_at, now=shown.now),
            reason=reason,
        )
        made = line.ask(line.stub.CreateObservation, request).observation
    if as_json:
        print_json(plain(made))
        return
    say(
        ours("Observed: ")
        + theirs(made.family, "bold")
        + ours(" for ")
        + for_whom(made)
        + ours(", until ")
        + until(made, shown)
        + ours(f". It ends by: {_ending(made)}")
    )


def _end(family: str, agent: str, *, reason: str, as_json: bool) -> None:
    with administering() as line:
        found = [one for one in _in_force(line) if one.family == family]
        meant = [one for one in found if not agent or one.agent == agent]
        if len(meant) != 1:
            raise CommandFailed(
                f"{family!r} is not observed{f' for {agent!r}' if agent else ''}."
                if not meant
                else f"{family!r} is observed {len(meant)} times; end one of them:",
                findings=tuple(_ending(one) for one in meant),
            )
        request = observing_pb2.DeleteObservationRequest(name=meant[0].name, reason=reason)
        ended = line.ask(line.stub.DeleteObservation, request).observation
    if as_json:
        print_json(plain(ended))
    else:
        say(theirs(ended.family, "bold") + ours(" has its force again for ") + for_whom(ended))


def _list(*, as_json: bool) -> None:
    with looking() as line:
        found = _in_force(line)
    if as_json:
        print_json({"observations": [plain(one) for one in found]})
        return
    shown = around()
    if found:
        say(*observations_picture(found, shown, width=list_width(shown)))
    else:
        say("No family is observed.")


def _in_force(line: Line[AdminServiceStub]) -> Sequence[Observation]:
    request = observing_pb2.ListObservationsRequest()
    return line.ask(line.stub.ListObservations, request).observations


def _ending(observation: Observation) -> str:
    agent = f" --agent {observation.agent}" if observation.agent else ""
    return f"callbroker policy observe --end {observation.family}{agent}"

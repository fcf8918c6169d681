"""`callbroker policy activate` and `upgrade`: no rule comes into force unseen.

What was decided of late is taken again under the new policy first, and shown. Where a person looks
on, they are asked; where nobody does, whatever would loosen needs `--yes`. The broker puts in force
what was looked at, or nothing.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli.connection import administering
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.library_picture import library_text
from broker.cli.options import AsJson
from broker.cli.policy_activating import Activation, activated
from broker.cli.screen import ours, say
from broker.v1 import admin_pb2

ACTIVATE_EPILOG: Final = (
    'Example: callbroker policy activate policies/ --reason "Refunds above 50."'
)
UPGRADE_EPILOG: Final = 'Example: callbroker policy upgrade policies/ --reason "Release 0.2."'
SINCE: Final = "7d"

Drop = Annotated[
    list[str] | None, typer.Option(metavar="FAMILY", help="Goes on purpose; repeatable.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept in the log.")]
OnlyCheck = Annotated[
    bool, typer.Option("--check", help="Only ask the broker whether it would take it.")
]
Since = Annotated[
    str, typer.Option(metavar="TIME", help="Take decisions again from then on: 30d, 2026-11-01.")
]
Replays = Annotated[
    bool, typer.Option("--replay/--no-replay", help="Take past decisions again before.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Even where it loosens; nobody is asked.")]


def activate(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Of broker/rules/FAMILY/, parameters/, presets/, lib/."),
    ],
    *,
    drop: Drop = None,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    reason: Why = "",
    only_check: OnlyCheck = False,
    since: Since = SINCE,
    replays: Replays = True,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put a policy in force, beside the shipped families, without dropping a call.

    Past decisions are taken again under it first, and what changes is shown; in a terminal you are
    asked, elsewhere what loosens needs --yes. One that does not compile, does not answer, or loses
    a family without --drop is refused, and the policy in force stays.
    """
    activated(
        Activation(
            directory=directory,
            drop=tuple(drop or ()),
            preset=preset or settings().preset,
            reason=reason,
            only_check=only_check,
            since=since if replays else "",
            yes=yes,
            as_json=as_json,
        )
    )


def upgrade(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Your own tree; as configured where left out, else the shipped library alone.",
            show_default=False,
        ),
    ] = None,
    *,
    drop: Drop = None,
    reason: Why = "",
    only_check: OnlyCheck = False,
    since: Since = SINCE,
    replays: Replays = True,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put the library that this release ships in force, beneath your own rules.

    A broker of a newer release goes on deciding by the policy that was in force, until this. The
    preset stays. All else is as with `activate`.
    """
    with administering() as line:
        told = line.ask(line.stub.GetStatus, admin_pb2.GetStatusRequest())
        kept = line.ask(line.stub.ListPolicies, admin_pb2.ListPoliciesRequest()).policies
    in_force = next((policy for policy in kept if policy.active), None)
    if in_force is None:
        raise CommandFailed(
            "No policy is in force: callbroker policy activate DIR.", exit_code=ExitCode.USAGE
        )
    before = told.library if told.HasField("library") else None
    if before is not None and before.digest == told.shipped_library.digest:
        if as_json:
            print_json({"upgraded": False, "policy_revision": told.policy_revision})
        else:
            say(ours("In force already: ") + library_text(before) + ours("."))
        return
    if not as_json:
        was = library_text(before) if before else ours("one that does not say which it is")
        say(ours("Library ") + was + ours(" -> ") + library_text(told.shipped_library))
    activated(
        Activation(
            directory=directory or settings().policies,
            drop=tuple(drop or ()),
            preset=in_force.preset or settings().preset,
            reason=reason,
            only_check=only_check,
            since=since if replays else "",
            yes=yes,
            as_json=as_json,
        )
    )

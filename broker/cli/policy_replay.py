"""`callbroker policy replay`: what a policy would change of what was decided, before it decides."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli import environment
from broker.cli.connection import looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.opening import refusing
from broker.cli.options import AsJson
from broker.cli.recorded import broker_decisions, exported_decisions
from broker.cli.replay_picture import replay_picture
from broker.cli.screen import around, say
from broker.cli.times import parse_start
from broker.core.recorded import RecordedDecision
from broker.policy.replay_tally import ChangeClass, Replay
from broker.policy.replaying import EXAMPLES_MAX

EPILOG: Final = "Example: callbroker policy replay policies/ --since 7d --fail-on deny-to-allow"
FAIL_ON: Final = f"{ChangeClass.DENY_TO_ALLOW},{ChangeClass.HOLD_TO_ALLOW}"


def policy_replay(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The candidate's tree; as configured where left out, else the shipped library.",
            show_default=False,
        ),
    ] = None,
    *,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    tools: Annotated[
        Path | None,
        typer.Option(help="Manifests that rules are typed by; as configured, or else as in force."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read `audit export --contents` instead of asking the broker; `audit verify` "
            "checks it.",
        ),
    ] = None,
    tool: Annotated[str, typer.Option(help="Only calls of this tool.")] = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From then on: 7d ago, or 2026-11-01 (UTC).")
    ] = "",
    fail_on: Annotated[
        str, typer.Option(metavar="CLASS,…", help="Classes that must be empty; none where ''.")
    ] = FAIL_ON,
    examples: Annotated[
        int, typer.Option(min=0, max=1_000, help="Of each class, at most so many.")
    ] = EXAMPLES_MAX,
    as_json: AsJson = False,
) -> None:
    """Take past decisions again under a candidate policy, and show what would change.

    Approvals and observing are left out on both sides; what screen and floor said stands. Exit code
    1 where a class of --fail-on is not empty, or where nothing could be taken again.
    """
    from broker.cli.policy_candidate import candidate  # noqa: PLC0415 - OPA's parts, for this alone
    from broker.policy.many import ManyQuestions  # noqa: PLC0415
    from broker.policy.replaying import replay  # noqa: PLC0415

    forbidden = _classes(fail_on)
    decisions = _decisions(export, tool=tool, since=since)
    tree, asks = directory or environment.settings().policies, export is None
    with candidate(tree, preset=preset, tools=tools, asks=asks) as built, refusing():
        found = replay(
            decisions,
            ManyQuestions(opa=built.opa, bundle=built.path, revision=built.bundle.revision),
            examples_max=examples,
            progress=progress,
        )
        end_of_progress()
    failed = [kind for kind in ChangeClass if kind in forbidden and kind in found.changes]
    if as_json:
        print_json(
            {
                "policy_revision": built.bundle.revision,
                "preset": built.preset,
                "failed": failed,
                **found.to_json(),
            }
        )
    else:
        revision, preset = built.bundle.revision, built.preset
        say(*replay_picture(found, around(), revision=revision, preset=preset))
    _judge(found, failed)


def _decisions(export: Path | None, *, tool: str, since: str) -> Iterator[RecordedDecision]:
    start = parse_start(since, now=environment.now()) if since else None
    if export is not None:
        return exported_decisions(export, tool=tool, since=start)
    return _asked_for(tool=tool, start=start)


def _asked_for(*, tool: str, start: datetime | None) -> Iterator[RecordedDecision]:
    with looking() as line:
        yield from broker_decisions(line, tool=tool, since=start)


def _judge(found: Replay, failed: Sequence[ChangeClass]) -> None:
    if not found.asked:
        raise CommandFailed("Nothing was taken again, so nothing is known of this policy.")
    if failed:
        told = ", ".join(f"{kind} {found.changes[kind].count}" for kind in failed)
        raise CommandFailed(f"This must be empty: {told}.")


def _classes(text: str) -> frozenset[ChangeClass]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {kind.value for kind in ChangeClass}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandFailed(
            f"There is no class {', '.join(unknown)}. There are:",
            exit_code=ExitCode.USAGE,
            findings=tuple(ChangeClass),
        )
    return frozenset(map(ChangeClass, names))


def progress(done: int) -> None:
    """Tell how far it is, in a terminal, on one line of standard error."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done:,} decisions")
        sys.stderr.flush()


def end_of_progress() -> None:
    """Take that line away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")

"""`callbroker audit reperform`: decide a past call again, and hold it against the log."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import looking
from broker.cli.failures import ExitCode
from broker.cli.hold_picture import digest
from broker.cli.invocations import resolved
from broker.cli.json_output import plain, print_json
from broker.cli.names import short
from broker.cli.options import AsJson
from broker.cli.recorded import decision_of
from broker.cli.screen import (
    Around,
    around,
    beside,
    columns,
    ours,
    say,
    shown_before,
    state,
    theirs,
)
from broker.cli.times import clock
from broker.core.recorded import RecordedDecision
from broker.v1 import admin_pb2

EPILOG: Final = "Example: callbroker audit reperform i-9c2e01ab"
_DEADLINE_S: Final = 60.0
_WIDTH: Final = 110


def audit_reperform(
    call: Annotated[str, typer.Argument(metavar="CALL", help="As `invocations list` prints it.")],
    *,
    entry: Annotated[
        str, typer.Option(metavar="ID", help="Of an earlier decision on it; as `audit show` says.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Decide a past call again, by the manifest and policy of then. Exit code 1 where it differs.

    What policy was asked is in the log, so nothing of today counts. What only the moment knew
    (freezes, other calls, what reviewers said) is taken from the record, and told as such.
    """
    with looking() as line:
        request = admin_pb2.ReperformInvocationRequest(name=resolved(line, call), entry=entry)
        told = line.ask(line.stub.ReperformInvocation, request, deadline_s=_DEADLINE_S)
    if as_json:
        print_json(plain(told))
    else:
        say(*_picture(told, decision_of(told.decision), around()))
    if not told.agrees:
        raise typer.Exit(ExitCode.NO)


def _picture(
    told: admin_pb2.ReperformInvocationResponse, decision: RecordedDecision, shown: Around
) -> Iterator[Text]:
    title = shown_before(f"{decision.tool}  {short(decision.invocation)}", "bold")
    at = clock(decision.at, now=shown.now, zone=shown.zone)
    then = state(decision.effect.name) + ours(f" {at}")
    if decision.policy_revision:
        then += ours(", policy ") + theirs(digest(decision.policy_revision), "bold")
    yield from beside(title, then, width=min(shown.width, _WIDTH))
    rows = [[ours(f"  {s.stage}"), _word(s), theirs(s.told)] for s in told.stages]
    yield from columns(rows, width=min(shown.width, _WIDTH))
    if told.agrees:
        yield ours("AGREES", "green") + ours("  with what the log has of it.")
    else:
        yield ours("DIFFERS", "bold red") + ours(
            "  from what the log has of it: check the log itself with `callbroker audit verify`."
        )


def _word(stage: admin_pb2.ReperformedStage) -> Text:
    if not stage.HasField("agrees"):
        return ours("recorded", "dim")
    return ours("agrees", "green") if stage.agrees else ours("differs", "bold red")

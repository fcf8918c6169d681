"""`callbroker policy explain`: which rules decided, on which values, and what would be allowed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from broker.cli.explain_picture import explanation_picture
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson
from broker.cli.screen import around, beside, ours, say, shown_before, state, theirs
from broker.cli.times import clock
from broker.core.arguments import JsonValue
from broker.core.recorded import RecordedDecision

EPILOG = "Example: callbroker policy explain i-9c2e01ab policies/"
_DIGITS = 8


def policy_explain(
    call: Annotated[
        str,
        typer.Argument(
            metavar="[CALL]", help="As `invocations list` prints it; left out with --case, --input."
        ),
    ] = "",
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The policy that is asked here; where left out, the one that decided the CALL, "
            "by the broker, or else the shipped library.",
            show_default=False,
        ),
    ] = None,
    *,
    case: Annotated[
        str, typer.Option(metavar="FAMILY/CASE", help="A case instead, by the beginning of it.")
    ] = "",
    given: Annotated[
        Path | None, typer.Option("--input", help="A policy input instead, from a file.")
    ] = None,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    tools: Annotated[
        Path | None,
        typer.Option(help="Manifests that rules are typed by; as configured, or else as in force."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which rules decided, on which values, and what would have to differ for it to run.

    Nothing runs and nothing is decided. What it says would be allowed was asked of that policy,
    with everything else of the call as it was.
    """
    # OPA's parts, for this command alone.
    from broker.cli.explain_subject import by_broker, here  # noqa: PLC0415

    if case or given is not None:  # then the only name is the directory's
        directory, call = (Path(call) if call else directory), ""
    if bool(call) + bool(case) + (given is not None) != 1:
        raise CommandFailed(
            "Say what to explain: a CALL, a --case or an --input.", exit_code=ExitCode.USAGE
        )
    if call and directory is None:
        subject, explanation = by_broker(call)
    else:
        subject, explanation = here(
            directory, call=call, case=case, given=given, preset=preset, tools=tools
        )
    if as_json:
        print_json({**explanation.to_json(), "recorded": _recorded(subject.decision)})
        return
    shown = around()
    revision = explanation.policy_revision
    right = state(explanation.effect.name) + ours(", policy ") + theirs(_digest(revision), "bold")
    say(*beside(shown_before(subject.title, "bold"), right, width=min(shown.width, 110)))
    before = subject.decision
    if before is not None:
        say(_then(before, revision))
    say(*explanation_picture(explanation, shown, others=before.verdicts if before else ()))


def _then(decision: RecordedDecision, revision: str) -> Text:
    """What was said when it was decided, and whether that was the same policy."""
    shown = around()
    at = clock(decision.at, now=shown.now, zone=shown.zone)
    told = ours("Decided ") + state(decision.effect.name) + ours(f" {at}")
    if decision.policy_revision == revision:
        return told + ours(", by this policy.")
    before = theirs(_digest(decision.policy_revision), "bold")
    return told + ours(", by policy ") + before + ours("; this is what the one here says.")


def _recorded(decision: RecordedDecision | None) -> JsonValue:
    if decision is None:
        return None
    return {
        "invocation": decision.invocation,
        "policy_revision": decision.policy_revision,
        "effect": decision.effect.name,
        "codes": [verdict.code for verdict in decision.verdicts],
    }


def _digest(revision: str) -> str:
    return revision.removeprefix("sha256:")[:_DIGITS]

"""`callbroker policy case`: a past call as a case of a rule family, to be pasted into its table."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.case_text import case_lines
from broker.cli.connection import looking
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.names import short
from broker.cli.options import AsJson
from broker.cli.recorded import asked_decision, find_decision
from broker.cli.screen import say
from broker.core.text import visible

EPILOG = "Example: callbroker policy case i-9c2e01ab policies/ --family refunds"


def policy_case(
    call: Annotated[
        str,
        typer.Argument(metavar="CALL", help="As `invocations list` prints it, or the full name."),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The tree whose table it is for; as configured where left out, else shipped.",
            show_default=False,
        ),
    ] = None,
    *,
    family: Annotated[
        str, typer.Option(metavar="FAMILY", help="Whose case; the one that decided if left out.")
    ] = "",
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    tools: Annotated[
        Path | None,
        typer.Option(help="Manifests that rules are typed by; as configured, or else as in force."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a past call into a case for FAMILY_cases.yaml.

    Its `given` is a patch over what that file gives, with what differs and matters; it expects what
    the family said then. Exit code 1 where the rules here say something else by now.
    """
    from broker.cli.policy_candidate import candidate  # noqa: PLC0415 - OPA's parts, for this alone
    from broker.policy.case_making import families_of, make_case  # noqa: PLC0415

    with looking() as line:
        decision = asked_decision(find_decision(line, call))
    chosen = family or _only(families_of(decision))
    tree = directory or settings().policies
    with candidate(tree, preset=preset, tools=tools, asks=True) as built:
        made = make_case(decision, chosen, bundle=built.bundle, opa=built.opa)
    name = f"{decision.summary or decision.tool} ({short(decision.invocation)})"
    found = made.found
    if as_json:
        print_json(
            {
                "family": chosen,
                "case": {"case": name, "given": made.given, "expect": made.expect},
                "holds": made.holds,
                "found": None if found is None else {"effect": found.effect, "codes": found.codes},
                "inexpressible": made.inexpressible,
            }
        )
    else:
        say(f"  # in {visible(chosen)}_cases.yaml, below cases:")
        for pointer in made.inexpressible:
            say(f"  # {visible(pointer)} was null, which a patch cannot say")
        say(*case_lines(name, made.given, made.expect))
    if not made.holds:
        now = "there is no such family" if found is None else _said(found.effect, found.codes)
        sys.stderr.write(f"callbroker: The rules here say something else: {visible(now)}.\n")
        raise typer.Exit(ExitCode.NO)


def _only(families: Sequence[str]) -> str:
    if len(families) == 1:
        return families[0]
    if not families:
        raise CommandFailed(
            "No family spoke for this call: name the one that is to stay silent with --family.",
            exit_code=ExitCode.USAGE,
        )
    raise CommandFailed(
        "Several families spoke: name one with --family.",
        exit_code=ExitCode.USAGE,
        findings=tuple(families),
    )


def _said(effect: str | None, codes: Sequence[str]) -> str:
    return f"{effect} {', '.join(codes)}" if effect else "the family is silent"

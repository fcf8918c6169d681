"""`callbroker policy bundle`: the checked policy as one file, for OPA's own tools."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson
from broker.cli.policy_test import tools_for
from broker.cli.screen import ours, say, theirs

EPILOG: Final = "Example: callbroker policy bundle policy.tar.gz policies/"


def policy_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Is written over.")],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="An own tree; the shipped library alone where left out.",
            show_default=False,
        ),
    ] = None,
    *,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="Manifests that rules are typed by; as configured, or beside DIR, if left out."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check a policy and write what OPA would load: the same sources give the same bytes.

    What a past call was decided on can be asked again with OPA alone: callbroker policy input CALL
    | opa eval -b FILE -I data.broker.decision.decision
    """
    from broker.cli.policy_candidate import candidate  # noqa: PLC0415 - OPA's parts, for this alone

    with candidate(directory, preset=preset, tools=tools_for(directory, tools)) as built:
        bundle = built.bundle
    try:
        file.write_bytes(bundle.bundle)
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror}.", exit_code=ExitCode.USAGE) from error
    if as_json:
        print_json(
            {
                "file": str(file),
                "bytes": len(bundle.bundle),
                "policy_revision": bundle.revision,
                "library": None if bundle.library is None else asdict(bundle.library),
                "preset": bundle.preset,
                "families": [*bundle.families],
            }
        )
    else:
        say(
            theirs(str(file), "bold")
            + ours(f": {len(bundle.bundle)} bytes, policy ")
            + theirs(bundle.revision)
        )

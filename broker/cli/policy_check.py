"""Checks a policy on this machine, by the same steps as a broker that is asked to activate it.

How rules read is minded here alone: a broker takes what is right and set out badly.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.opening import refusing
from broker.core.manifest import ToolManifest
from broker.policy import opa_binary
from broker.policy.lint import style
from broker.policy.room import OpaRoom
from broker.ports import Bundle, PolicyOrder, PolicyRefused


def checked_policy(order: PolicyOrder, tools: Sequence[ToolManifest], opa: Path | None) -> Bundle:
    """Build a policy as a broker would.

    Args:
        order: its sources.
        tools: manifests that its rules are typed by.
        opa: the configured binary, if any.

    Raises:
        CommandFailed: it is refused, with every finding, or there is no OPA.
    """
    found = _found(opa)
    with refusing():
        try:
            return asyncio.run(OpaRoom(opa=found).build(order, tools=tools))
        except PolicyRefused as refused:
            raise CommandFailed("This policy is refused:", findings=refused.findings) from refused


def require_style(files: Mapping[str, bytes], opa: Path | None) -> None:
    """Refuse rules that are not set out as the house rules say.

    Args:
        files: an operator's tree, which compiles.
        opa: the configured binary, if any.

    Raises:
        CommandFailed: with every finding, or there is no OPA.
    """
    modules = {
        path: data
        for path, data in files.items()
        if path.endswith(".rego") and not path.endswith("_test.rego")
    }
    with refusing():
        findings = style(_found(opa), modules)
    if findings:
        raise CommandFailed("These rules compile, and should be mended:", findings=tuple(findings))


def _found(opa: Path | None) -> Path:
    with refusing():
        found = opa_binary.find(opa)
    if found is None:
        raise CommandFailed(
            f"There is no OPA {opa_binary.OPA_VERSION}: `callbroker opa install` gets it.",
            exit_code=ExitCode.USAGE,
        )
    return found

"""Checks a policy on this machine, by the same steps as a broker that is asked to activate it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.opening import refusing
from broker.core.manifest import ToolManifest
from broker.policy import opa_binary
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
    with refusing():
        found = opa_binary.find(opa)
    if found is None:
        raise CommandFailed(
            f"There is no OPA {opa_binary.OPA_VERSION}: `callbroker opa install` gets it.",
            exit_code=ExitCode.USAGE,
        )
    with refusing():
        try:
            return asyncio.run(OpaRoom(opa=found).build(order, tools=tools))
        except PolicyRefused as refused:
            raise CommandFailed("This policy is refused:", findings=refused.findings) from refused

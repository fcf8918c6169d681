"""A newer release decides nothing anew until an operator has seen what it would change."""

from typing import Final

import structlog

from broker.administration.policies import PolicyAdministration

_log: Final = structlog.get_logger(__name__)


async def say_library(policies: PolicyAdministration) -> None:
    """Log where the policy in force was built with another library than is shipped."""
    found = await policies.libraries()
    if found.in_force and found.shipped and found.in_force.digest != found.shipped.digest:
        _log.warning(
            "policy_library_differs",
            in_force=found.in_force.version,
            shipped=found.shipped.version,
            see="callbroker policy upgrade",
        )

"""Who looks things up in systems of record."""

from collections.abc import Mapping
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Principal, Session
from broker.core.manifest import ToolManifest


class Facts(Protocol):
    """Looks things up in systems of record."""

    async def gather(
        self,
        manifest: ToolManifest,
        *,
        arguments: Mapping[str, JsonValue],
        principal: Principal,
        session: Session,
    ) -> Mapping[str, Fact]:
        """Every fact that the manifest declares, by name. A failing one is an error value."""
        ...

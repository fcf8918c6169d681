"""Each call is carried out by the runner that its manifest names, and by no other."""

from collections.abc import Mapping

from broker.core.errors import RunnerUnavailable
from broker.core.manifest import ToolManifest
from broker.ports import Asker, Runner, Slot


class Runners:
    """Several runners as one (`ports.Runner`)."""

    def __init__(self, by_name: Mapping[str, Runner]) -> None:
        """Make one of runners under the names that manifests use."""
        self._by_name = by_name

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str,
        wait_s: float,
        asker: Asker | None = None,
    ) -> Slot:
        """Keep a place free at the manifest's runner.

        Raises:
            RunnerUnavailable: it has none in time, or there is no such runner here.
        """
        runner = self._by_name.get(manifest.runner)
        if runner is None:
            raise RunnerUnavailable(
                f"No runner {manifest.runner} is here for {manifest.name}.",
                metadata={"tool": manifest.name},
            )
        return await runner.reserve(manifest, profile=profile, wait_s=wait_s, asker=asker)

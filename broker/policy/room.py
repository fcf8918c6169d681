"""Builds, checks and starts policy: the room that administration and the enforcer share.

With no URL, each revision is a supervised child of its own. With one, the OPA there is somebody
else's to load and run; a revision is ready when it answers from exactly that bundle.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker import __version__
from broker.core import limits
from broker.core.errors import PolicyUnavailable
from broker.core.manifest import ToolManifest
from broker.policy.bundle import BundleRefused, PolicyBundle, build, rebuild
from broker.policy.opa import Opa
from broker.policy.opa_process import SupervisedOpa
from broker.policy.schemas import ToolSchemas, tool_schemas
from broker.policy.sources import library_directory, read_sources
from broker.policy.warm import WarmPolicies
from broker.ports import Bundle, DecisionPoint, Library, PolicyOrder, PolicyRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOpa:
    """An OPA that somebody else runs."""

    url: str
    token: str
    ca_file: Path | None = None


class OpaRoom:
    """Implements `ports.PolicyRoom` over real OPA."""

    def __init__(
        self,
        *,
        opa: Path,
        remote: RemoteOpa | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make one.

        Args:
            opa: the pinned binary; it also checks and builds.
            remote: ask this one instead of a child.
            report: told, in one line each, of deaths and restarts.
        """
        self._opa = opa
        self._remote = remote
        self._report = report
        self._warm = WarmPolicies()

    def at(self, revision: str) -> DecisionPoint:
        """The decision point of this revision.

        Raises:
            PolicyUnavailable: none is ready.
        """
        return self._warm.at(revision)

    async def shipped(self) -> Library:
        """The library that the next bundle is built with.

        Raises:
            PolicyUnavailable: it cannot be read.
        """
        try:
            sources = await asyncio.to_thread(read_sources, library_directory(), None)
        except OSError as error:
            raise PolicyUnavailable("The shipped rules cannot be read.") from error
        return Library(version=__version__, digest=sources.library)

    async def build(self, order: PolicyOrder, *, tools: Iterable[ToolManifest]) -> PolicyBundle:
        """Check sources under these tools, and build them.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: OPA cannot be run.
        """
        schemas = _schemas(tools)

        def work() -> PolicyBundle:
            with tempfile.TemporaryDirectory(prefix="callbroker-policy-") as scratch:
                return build(
                    opa=self._opa,
                    directory=_laid_out(Path(scratch), order.files),
                    tools=schemas,
                    preset=order.preset,
                    previous_families=order.previous_families,
                    dropped=order.dropped,
                )

        return await _refusing(work)

    async def recheck(self, kept: bytes, *, tools: Iterable[ToolManifest]) -> PolicyBundle:
        """Check a kept bundle's sources again, under these tools, and build them anew.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: OPA cannot be run.
        """
        schemas = _schemas(tools)
        return await _refusing(
            lambda: rebuild(PolicyBundle.from_bytes(kept), opa=self._opa, tools=schemas),
        )

    def read(self, kept: bytes) -> PolicyBundle:
        """Read a kept bundle, without checking more than that it is whole.

        Raises:
            PolicyRefused: it is not.
        """
        try:
            return PolicyBundle.from_bytes(kept)
        except BundleRefused as refused:
            raise PolicyRefused(refused.findings) from refused

    async def prepare(self, bundle: Bundle) -> None:
        """Return once `at(bundle.revision)` is warm; at once where it is already.

        Raises:
            PolicyUnavailable: it does not start; nothing is left behind.
        """
        if bundle.revision in self._warm.revisions():
            return
        await self._warm.add(await self._started(bundle))

    async def retire(self, revision: str) -> None:
        """End the one of this revision, if there is one, once what it was asked is answered."""
        await self._warm.retire(revision)

    async def close(self) -> None:
        """End all."""
        await self._warm.close()

    async def _started(self, bundle: Bundle) -> DecisionPoint:
        if self._remote is None:
            return await SupervisedOpa.start(
                self.read(bundle.to_bytes()),
                opa=self._opa,
                report=self._report,
            )
        point = await Opa.over_url(
            self._remote.url,
            token=self._remote.token,
            revision=bundle.revision,
            ca_file=self._remote.ca_file,
        )
        try:
            async with asyncio.timeout(limits.POLICY_READY_S):
                wrong = await point.warm_up()
        except (PolicyUnavailable, TimeoutError):
            wrong = "it cannot be asked"
        if wrong:
            await point.close()
            raise PolicyUnavailable(
                f"The OPA at {self._remote.url} does not serve policy {bundle.revision}: {wrong}. "
                "It serves one policy: for one that is to decide, load there what `callbroker "
                "policy bundle` writes. A shadow needs a broker without opa_url; `callbroker "
                "policy replay` compares with what was decided.",
            )
        return point


def _schemas(tools: Iterable[ToolManifest]) -> Mapping[str, ToolSchemas]:
    return {manifest.name: tool_schemas(manifest) for manifest in tools}


def _laid_out(directory: Path, files: Mapping[str, bytes]) -> Path:
    """The operator's tree as files. A path that leaves the directory is refused."""
    for path, data in files.items():
        target = (directory / path).resolve()
        if not target.is_relative_to(directory.resolve()) or target == directory.resolve():
            raise BundleRefused([f"{path!r} is no path inside of the policy directory"])
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (OSError, ValueError) as error:
            raise BundleRefused([f"{path!r} cannot be a file"]) from error
    return directory


async def _refusing(work: Callable[[], PolicyBundle]) -> PolicyBundle:
    """Run blocking work in a thread; it has deadlines of its own for what it starts."""
    try:
        return await asyncio.to_thread(work)
    except BundleRefused as refused:
        raise PolicyRefused(refused.findings) from refused
    except OSError as error:
        raise PolicyUnavailable("The policy's sources cannot be read.") from error

"""Where policies are built, warmed and ended: `ports.PolicyRoom` over OPA processes of our own.

A bundle is built and checked in a thread, its OPA answers before anybody is sent to it, and what
was kept is built anew from its sources rather than trusted.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from broker.core.arguments import JsonValue
from broker.core.errors import PolicyUnavailable
from broker.core.manifest import FactSpec, ToolManifest
from broker.policy.bundle import BundleRefused, PolicyBundle, build, rebuild
from broker.policy.opa_process import SupervisedOpa
from broker.policy.schemas import ToolSchemas
from broker.policy.sources import SOURCE_BYTES_MAX, SOURCES_MAX
from broker.policy.warm import WarmPolicies
from broker.ports import Bundle, DecisionPoint, PolicyOrder, PolicyRefused


class OpaRoom:
    """Builds bundles with the pinned OPA and keeps one supervised child per warm revision."""

    def __init__(
        self,
        *,
        opa: Path,
        runtime_directory: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make one.

        Args:
            opa: the pinned binary.
            runtime_directory: where children's private folders are made.
            report: told, in one line each, of children's deaths and restarts.
        """
        self._opa = opa
        self._runtime_directory = runtime_directory
        self._report = report
        self._warm = WarmPolicies()
        self._starting = asyncio.Lock()

    def at(self, revision: str) -> DecisionPoint:
        """The decision point of this revision.

        Raises:
            PolicyUnavailable: none is ready.
        """
        return self._warm.at(revision)

    async def build(self, order: PolicyOrder, *, tools: Iterable[ToolManifest]) -> Bundle:
        """See `ports.PolicyRoom.build`."""
        schemas = {tool.name: tool_schemas(tool) for tool in tools}

        def work() -> PolicyBundle:
            with tempfile.TemporaryDirectory(prefix="callbroker-policy-") as scratch:
                lay_out(Path(scratch), order.files)
                return build(
                    opa=self._opa,
                    directory=Path(scratch),
                    tools=schemas,
                    preset=order.preset,
                    previous_families=order.previous_families,
                    dropped=order.dropped,
                )

        return await self._checked(work)

    async def recheck(self, kept: bytes, *, tools: Iterable[ToolManifest]) -> Bundle:
        """See `ports.PolicyRoom.recheck`."""
        schemas = {tool.name: tool_schemas(tool) for tool in tools}
        return await self._checked(
            lambda: rebuild(PolicyBundle.from_bytes(kept), opa=self._opa, tools=schemas)
        )

    def read(self, kept: bytes) -> Bundle:
        """See `ports.PolicyRoom.read`."""
        try:
            return PolicyBundle.from_bytes(kept)
        except BundleRefused as refused:
            raise PolicyRefused(refused.findings) from refused

    async def prepare(self, bundle: Bundle) -> None:
        """See `ports.PolicyRoom.prepare`."""
        async with self._starting:
            if self._is_warm(bundle.revision):
                return
            if not isinstance(bundle, PolicyBundle):
                bundle = PolicyBundle.from_bytes(bundle.to_bytes())
            point = await SupervisedOpa.start(
                bundle,
                opa=self._opa,
                runtime_directory=self._runtime_directory,
                report=self._report,
            )
            await self._warm.add(point)

    async def retire(self, revision: str) -> None:
        """See `ports.PolicyRoom.retire`."""
        await self._warm.retire(revision)

    async def close(self) -> None:
        """End every child."""
        await self._warm.close()

    async def _checked(self, work: Callable[[], PolicyBundle]) -> PolicyBundle:
        try:
            return await asyncio.to_thread(work)
        except BundleRefused as refused:
            raise PolicyRefused(refused.findings) from refused

    def _is_warm(self, revision: str) -> bool:
        try:
            self._warm.at(revision)
        except PolicyUnavailable:
            return False
        return True


def tool_schemas(manifest: ToolManifest) -> ToolSchemas:
    """What rules may read of a tool, as OPA's checker is told."""
    return ToolSchemas(
        arguments=manifest.arguments,
        facts={name: _value_schema(fact) for name, fact in manifest.facts.items()},
        counters=tuple(manifest.limits),
    )


def lay_out(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write an operator's tree.

    Raises:
        BundleRefused: a path leaves the tree, is hidden or absolute, or there is too much of it.
    """
    if len(files) > SOURCES_MAX:
        raise BundleRefused([f"more than {SOURCES_MAX} files"])
    findings = [f"{name!r}: not a path in the tree" for name in files if not _is_inside(name)]
    findings += [
        f"{name!r}: larger than {SOURCE_BYTES_MAX} bytes"
        for name, data in files.items()
        if len(data) > SOURCE_BYTES_MAX
    ]
    if findings:
        raise BundleRefused(findings)
    try:
        for name, data in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise BundleRefused(
            ["a file and a folder have the same name, or a name is too long"]
        ) from error


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    parts = name.split("/")
    return (
        bool(name)
        and name.isprintable()
        and "\\" not in name
        and not path.is_absolute()
        and all(part and not part.startswith(".") for part in parts)
    )


def _value_schema(fact: FactSpec) -> Mapping[str, JsonValue]:
    """The schema of what a rule finds under `value`: of a row, of many, or of one per element."""
    row: dict[str, JsonValue] = dict(fact.shape)
    value: dict[str, JsonValue] = {"type": "array", "items": row} if fact.rows == "many" else row
    return {"type": "array", "items": value} if fact.for_each is not None else value

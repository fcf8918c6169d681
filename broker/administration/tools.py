"""A tool is put in force whole and checked, or not at all; with it the policy in force must hold.

Rules are checked against the tools' own schemas. So a tool that comes, changes or goes is refused
where the policy in force would then read what is not there: first change the rule, then the tool.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.administration.changes import (
    ControlChanges,
    InForce,
    Planned,
    optional_reason,
    refused,
    required_reason,
)
from broker.administration.policies import PolicyAdministration
from broker.core.arguments import MalformedJson, parse_value
from broker.core.audit import EntryDraft, EntryKind
from broker.core.compiling import compiled
from broker.core.control import RegisteredTool
from broker.core.control_rows import TOOL, tool_row
from broker.core.credentials import Credential
from broker.core.errors import MalformedRequest, NotFound
from broker.core.limits import JSON_NODES_MAX, MANIFEST_BYTES_MAX, SCHEMA_DEPTH_MAX
from broker.core.manifest import ManifestRefused, ToolManifest, parse, warnings
from broker.core.schemas import SchemaRefused
from broker.core.stores import stores_advice
from broker.core.unit import AddDocument, Change, DropControl

TOOLS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsPut:
    """What came of putting tools.

    Attributes:
        manifests: all that are in force now, or would be, in the order of their names.
        warnings: what to look at; nothing was refused for these.
    """

    manifests: tuple[ToolManifest, ...]
    warnings: tuple[str, ...]


class ToolAdministration:
    """Puts tools in force and takes them out."""

    def __init__(
        self,
        *,
        changes: ControlChanges,
        policies: PolicyAdministration,
        sources: Collection[str] | None = None,
    ) -> None:
        """Make one.

        Args:
            changes: makes the changes.
            policies: checks the policy in force under other tools.
            sources: systems of record that are configured; a fact of another gets a warning. None
                where that is not known.
        """
        self._changes = changes
        self._policies = policies
        self._sources = sources

    def in_force(self) -> tuple[RegisteredTool, ...]:
        """The tools in force, in the order of their names."""
        tools = self._changes.room.current().tools
        return tuple(tools[name] for name in sorted(tools))

    async def put(
        self,
        operator: Credential,
        documents: Sequence[bytes],
        *,
        validate_only: bool = False,
        replace_all: bool = False,
        kept: Collection[str] = (),
        reason: str = "",
    ) -> ToolsPut:
        """Put manifests in force: all of them, or none.

        Args:
            operator: who does it.
            documents: one JSON object each.
            validate_only: check alone.
            replace_all: tools that are not among them go out of force.
            kept: names of others that stay all the same.
            reason: for the log; may be empty.

        Raises:
            MalformedRequest: with every finding in every document, or in the policy under them.
        """
        why = optional_reason(reason)
        manifests = await asyncio.to_thread(_parsed, documents)
        named = frozenset((*(m.name for m in manifests), *kept))

        async def plan(in_force: InForce) -> Planned[ToolsPut]:
            before = in_force.manifests()
            stays = {n: m for n, m in before.items() if n in named or not replace_all}
            after = {**stays, **{m.name: m for m in manifests}}
            if len(after) > TOOLS_MAX:
                raise MalformedRequest(f"At most {TOOLS_MAX} tools can be in force.")
            changed = [m for m in manifests if _revision(before, m.name) != m.revision]
            gone = sorted(before.keys() - after.keys())
            if changed or gone:
                await self._policies.require_holding(in_force, after.values())
            put = ToolsPut(
                manifests=tuple(after[name] for name in sorted(after)),
                warnings=(*self._warnings(manifests), *stores_advice(after.values())),
            )
            if validate_only:
                return Planned(changes=(), entries=(), answer=put)
            now = self._changes.clock()
            changes: list[Change] = []
            entries: list[EntryDraft] = []
            for manifest in changed:
                row = tool_row(manifest)
                document = AddDocument(digest=row.digest, kind=TOOL, at=now, body=row.body)
                changes += [document, row]
                entries.append(self._put_entry(operator, manifest, before, why))
            for name in gone:
                changes.append(DropControl(kind=TOOL, key=name))
                entries.append(self._gone_entry(operator, before[name], why))
            return Planned(changes=tuple(changes), entries=tuple(entries), answer=put)

        return await self._changes.make(plan)

    async def delete(self, operator: Credential, name: str, *, reason: str) -> None:
        """Take one tool out of force.

        Raises:
            NotFound: it is not in force.
            MalformedRequest: no reason, or the policy in force reads what it declares.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            tools = dict(in_force.manifests())
            gone = tools.pop(name, None)
            if gone is None:
                raise NotFound("There is no such tool.")
            await self._policies.require_holding(in_force, tools.values())
            return Planned(
                changes=(DropControl(kind=TOOL, key=name),),
                entries=(self._gone_entry(operator, gone, why),),
                answer=None,
            )

        await self._changes.make(plan)

    def _warnings(self, manifests: Sequence[ToolManifest]) -> tuple[str, ...]:
        found = [f"{m.name}: {warning}" for m in manifests for warning in warnings(m)]
        if self._sources is not None:
            found += [
                f"{m.name}: /facts/{fact.name}/source: no system of record {fact.source!r} is"
                " configured, so this fact fails"
                for m in manifests
                for fact in m.facts.values()
                if fact.source not in self._sources
            ]
        return tuple(found)

    def _put_entry(
        self,
        operator: Credential,
        manifest: ToolManifest,
        before: Mapping[str, ToolManifest],
        reason: str,
    ) -> EntryDraft:
        return self._changes.entry(
            EntryKind.TOOL_PUT,
            operator,
            {
                "tool": manifest.name,
                "revision": manifest.revision,
                "before": _revision(before, manifest.name),
                "reason": reason,
            },
        )

    def _gone_entry(self, operator: Credential, gone: ToolManifest, reason: str) -> EntryDraft:
        return self._changes.entry(
            EntryKind.TOOL_DELETED,
            operator,
            {"tool": gone.name, "revision": gone.revision, "reason": reason},
        )


def _revision(tools: Mapping[str, ToolManifest], name: str) -> str:
    return tools[name].revision if name in tools else ""


def _parsed(documents: Sequence[bytes]) -> tuple[ToolManifest, ...]:
    manifests: dict[str, ToolManifest] = {}
    findings: list[str] = []
    for number, document in enumerate(documents):
        try:
            manifest = _manifest(document)
        except (MalformedJson, ManifestRefused, SchemaRefused) as wrong:
            told = getattr(wrong, "findings", (str(wrong),))
            findings += [f"manifest {number + 1}: {finding}" for finding in told]
            continue
        if manifest.name in manifests:
            findings.append(f"manifest {number + 1}: a second one for the tool {manifest.name}")
        manifests[manifest.name] = manifest
    if findings:
        raise refused("No tool was taken:", tuple(findings), field="manifests_json")
    return tuple(manifests.values())


def _manifest(document: bytes) -> ToolManifest:
    value = parse_value(
        document,
        bytes_max=MANIFEST_BYTES_MAX,
        # A manifest lays schemas a few levels deep.
        depth_max=SCHEMA_DEPTH_MAX + 8,
        nodes_max=JSON_NODES_MAX,
    )
    if not isinstance(value, dict):
        raise MalformedJson("NOT_AN_OBJECT")
    manifest = parse(value)
    compiled(manifest)
    return manifest

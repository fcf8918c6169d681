"""What was in force when a past call was decided: policies and manifests are kept for ever."""

import contextlib
import json
from collections.abc import Iterator

from broker.administration.changes import ControlChanges
from broker.core.control_rows import POLICY
from broker.core.errors import Defect, NotFound
from broker.core.manifest import ToolManifest, parse
from broker.core.preview_tools import preview_tool
from broker.core.previews import PREVIEW_SUFFIX
from broker.core.recorded import RecordedDecision
from broker.core.schemas import Validator
from broker.ports import PolicyRefused


@contextlib.contextmanager
def asking(revision: str) -> Iterator[None]:
    """While a kept policy is asked: one that is not what was kept is our own fault."""
    try:
        yield
    except PolicyRefused as wrong:
        raise Defect(f"The policy {revision} is not kept as it was: {wrong}") from wrong


class Kept:
    """Reads documents; nothing here has an effect."""

    def __init__(self, changes: ControlChanges) -> None:
        self._store = changes.store

    async def policy(self, revision: str) -> bytes:
        """A bundle as it was stored.

        Raises:
            NotFound: no such policy was ever in force.
        """
        if revision not in {kept for kept, _ in await self._store.documents(POLICY)}:
            raise NotFound("No such policy was ever in force.")
        found = await self._store.document(revision)
        if found is None:
            raise Defect(f"The policy {revision} is not kept.")
        return found

    async def manifest(self, decision: RecordedDecision) -> ToolManifest | None:
        """The tool's manifest as it was then; None where this release cannot read it any more."""
        found = await self._store.document(decision.tool_revision)
        try:
            manifest = None if found is None else parse(json.loads(found))
        except ValueError:
            return None
        if manifest is None or not decision.tool.endswith(PREVIEW_SUFFIX):
            return manifest
        preview = preview_tool(manifest, Validator(manifest.arguments))
        return preview.manifest if preview is not None else None

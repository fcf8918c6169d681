"""The policy trees here: the shipped library, and every example's or replay's laid over it."""

from pathlib import Path

from broker.policy.schemas import ToolSchemas, tool_schemas
from broker.tools.registry import build_registry, read_manifests

_ROOT = Path(__file__).resolve().parents[2]

TREES: dict[str, Path | None] = {
    "library": None,
    **{path.parent.name: path for path in sorted(_ROOT.glob("examples/*/policies"))},
    **{path.parent.name: path for path in sorted(_ROOT.glob("tests/replay/*/policies"))},
}


def tools_beside(tree: Path | None) -> dict[str, ToolSchemas]:
    """What rules may read of the tools whose manifests lie beside this tree."""
    if tree is None or not (tree.parent / "tools").is_dir():
        return {}
    registry = build_registry(read_manifests(tree.parent / "tools"))
    return {name: tool_schemas(tool.manifest) for name, tool in registry.items()}

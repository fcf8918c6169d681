"""A sandboxed tool's manifest lacks one thing as it is written: the image, which building makes.

So it is checked as if it had one, and is finished by putting the true one in. The source itself is
never changed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from broker.cli.failures import CommandFailed
from broker.cli.trees import checked
from broker.core.arguments import JsonValue
from broker.core.manifest import ToolManifest
from broker.tools.draft import to_yaml
from broker.tools.registry import Document, RegistryRefused, read_manifest
from sandboxes.images.folder import MANIFEST_FILE, TOOL_FILE, run_findings

_RUNNER: Final = "sandbox"
_ANY_IMAGE: Final = "sha256:" + "0" * 64


def checked_source(path: Path, files: Mapping[str, bytes]) -> tuple[Document, ToolManifest]:
    """A tool's manifest as written, and as it will be but for its image.

    Args:
        path: the tool's folder.
        files: what is in it; `tool.py` must fit the manifest.

    Raises:
        CommandFailed: with every problem.
    """
    where = str(path / MANIFEST_FILE)
    try:
        document = read_manifest(path / MANIFEST_FILE)
    except RegistryRefused as refused:
        raise CommandFailed(f"{where} cannot be read:", findings=refused.findings) from None
    if document.get("runner") != _RUNNER:
        raise CommandFailed(f"{where}: /runner: write `runner: sandbox`, and a section `sandbox`")
    section = document.get("sandbox", {})
    if isinstance(section, dict) and "image" in section:
        raise CommandFailed(f"{where}: /sandbox/image: leave it out: building puts it in")
    (manifest,) = checked([(where, with_image(document, _ANY_IMAGE))])
    arguments = manifest.arguments
    properties, required = arguments.get("properties", {}), arguments.get("required", [])
    found = run_findings(
        files[TOOL_FILE],
        taken=tuple(properties) if isinstance(properties, dict) else (),
        required=tuple(map(str, required)) if isinstance(required, list) else (),
    )
    if found:
        raise CommandFailed(f"{path} does not fit its manifest:", findings=tuple(found))
    return document, manifest


def with_image(document: Document, digest: str) -> dict[str, JsonValue]:
    """The manifest with its image."""
    section = document.get("sandbox")
    rest: Mapping[str, JsonValue] = section if isinstance(section, dict) else {}
    return {**document, "sandbox": {"image": digest, **rest}}


def finished(document: Document, digest: str) -> str:
    """The finished manifest, as a file has it."""
    made = "# Made by `callbroker sandbox build`; change the tool's folder and build it again.\n"
    return made + to_yaml(with_image(document, digest), schema="")

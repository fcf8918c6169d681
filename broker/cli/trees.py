"""Manifests and policy files as a command reads them: all of them, and every problem at once."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from broker.cli.failures import CommandFailed, ExitCode
from broker.core.manifest import ToolManifest
from broker.policy.sources import SOURCE_BYTES_MAX
from broker.tools.registry import (
    Document,
    RegistryRefused,
    build_registry,
    read_manifest,
    read_manifests,
)

_POLICY_SUFFIXES = frozenset({".rego", ".yaml", ".yml", ".json"})


def documents(paths: Iterable[Path]) -> list[tuple[str, Document]]:
    """The manifests of files and directories, each with where it is from.

    Raises:
        CommandFailed: one cannot be read, or there is none.
    """
    found: list[tuple[str, Document]] = []
    findings: list[str] = []
    for path in paths:
        try:
            if path.is_dir():
                found += [(str(path / name), document) for name, document in read_manifests(path)]
            else:
                found.append((str(path), read_manifest(path)))
        except RegistryRefused as refused:
            findings += refused.findings
    if findings:
        raise CommandFailed("These manifests cannot be read:", findings=tuple(findings))
    if not found:
        raise CommandFailed("There is no manifest (*.yaml) there.", exit_code=ExitCode.USAGE)
    return found


def checked(read: Sequence[tuple[str, Document]]) -> list[ToolManifest]:
    """The manifests, compiled.

    Raises:
        CommandFailed: with every problem of all of them.
    """
    try:
        tools = build_registry(read)
    except RegistryRefused as refused:
        raise CommandFailed("These manifests are refused:", findings=refused.findings) from None
    return [tool.manifest for tool in tools.values()]


def as_bytes(read: Iterable[tuple[str, Document]]) -> list[bytes]:
    """The manifests as they travel."""
    return [json.dumps(document).encode() for _, document in read]


def policy_files(directory: Path) -> dict[str, bytes]:
    """An operator's policy tree: path inside the directory to content.

    Raises:
        CommandFailed: it cannot be read.
    """
    if not directory.is_dir():
        raise CommandFailed(f"There is no directory {directory}.", exit_code=ExitCode.USAGE)
    files: dict[str, bytes] = {}
    try:
        for path in sorted(directory.rglob("*")):
            relative = path.relative_to(directory)
            if any(part.startswith(".") for part in relative.parts) or path.is_symlink():
                continue
            if path.is_file() and path.suffix in _POLICY_SUFFIXES:
                with path.open("rb") as file:
                    files[relative.as_posix()] = file.read(SOURCE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandFailed(f"{directory}: {error}", exit_code=ExitCode.USAGE) from error
    return files

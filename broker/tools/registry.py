"""A tool is registered whole or not at all: manifest parsed, schemas compiled, name its own.

Files are only where manifests come from; what is in force is the store's, by digest.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from broker.core.arguments import JsonValue
from broker.core.compiling import compiled
from broker.core.control import RegisteredTool, beside_each_other
from broker.core.limits import MANIFEST_BYTES_MAX
from broker.core.manifest import ManifestRefused, parse
from broker.core.schemas import SchemaRefused
from broker.yaml_documents import YamlRefused, read_yaml

Document = Mapping[str, JsonValue]
Registry = Mapping[str, RegisteredTool]

SUFFIXES = (".yaml", ".yml")


class RegistryRefused(ValueError):
    """Some manifest has a problem; `findings` has them all, each beginning with its file."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def read_manifests(directory: Path) -> tuple[tuple[str, Document], ...]:
    """The documents of a directory's YAML files, by file name, in its order.

    Args:
        directory: of `*.yaml` files, one manifest each; what lies deeper or begins with a dot is
            not read.

    Raises:
        RegistryRefused: the directory cannot be read, or a file is no mapping of JSON values.
    """
    try:
        paths = sorted(
            path
            for path in directory.iterdir()
            if path.suffix in SUFFIXES and not path.name.startswith(".")
        )
    except OSError as error:
        raise RegistryRefused((f"{directory}: {error.strerror}",)) from None
    documents: list[tuple[str, Document]] = []
    findings: list[str] = []
    for path in paths:
        try:
            documents.append((path.name, read_manifest(path)))
        except RegistryRefused as refused:
            findings.extend(refused.findings)
    if findings:
        raise RegistryRefused(tuple(findings))
    return tuple(documents)


def read_manifest(path: Path) -> Document:
    """The document of one file.

    Raises:
        RegistryRefused: it cannot be read, or is no mapping of JSON values.
    """
    try:
        with path.open("rb") as file:
            document = read_yaml(file.read(MANIFEST_BYTES_MAX + 1))
    except OSError as error:
        raise RegistryRefused((f"{path.name}: {error.strerror}",)) from None
    except YamlRefused as error:
        raise RegistryRefused((f"{path.name}: {error}",)) from None
    if not isinstance(document, dict):
        raise RegistryRefused((f"{path.name}: write a manifest, a mapping with name and so on",))
    return document


def build_registry(documents: Iterable[tuple[str, Document]]) -> Registry:
    """Compile every manifest.

    Args:
        documents: where each comes from, for messages, and the manifest itself.

    Returns:
        The tools by name; a mapping that cannot be changed.

    Raises:
        RegistryRefused: with the problems of all of them.
    """
    tools: dict[str, RegisteredTool] = {}
    origins: dict[str, str] = {}
    findings: list[str] = []
    for origin, document in documents:
        try:
            tool = register(document)
        except ManifestRefused as refused:
            findings.extend(_at(origin, finding) for finding in refused.findings)
            continue
        name = tool.manifest.name
        if name in tools:
            findings.append(f"{origin}: /name: {name} is in {origins[name]} already")
        tools[name], origins[name] = tool, origin
    if findings:
        raise RegistryRefused(tuple(findings))
    return MappingProxyType(beside_each_other(tools.values()))


def _at(origin: str, finding: str) -> str:
    """A finding of the whole manifest begins with its pointer, which is empty."""
    return f"{origin}{finding}" if finding.startswith(":") else f"{origin}: {finding}"


def register(document: Document) -> RegisteredTool:
    """Parse one manifest and compile its schemas.

    Raises:
        ManifestRefused: with every problem.
    """
    manifest = parse(document)
    try:
        return compiled(manifest)
    except SchemaRefused as refused:
        raise ManifestRefused(refused.findings) from None

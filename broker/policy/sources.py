"""Reads trees of policy sources: a file counts for where it lies, any other is a finding.

A tree has four places: `broker/rules/<family>/` for a family's rules and cases, `lib/<name>/` for
functions that families share, `parameters/<family>/data.yaml` for the numbers and lists that a
family's rules read, `presets/<name>.yaml` for defaults. The shipped library has `broker/decision/`,
`schemas/` and `capabilities.json` besides; an operator's tree cannot bring those.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.canonical import content_digest
from broker.yaml_documents import YamlRefused, read_yaml

SOURCE_BYTES_MAX: Final = 1024 * 1024
SOURCES_MAX: Final = 2_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_WEIGHTY: Final = frozenset({".rego", ".yaml", ".yml", ".json"})


@dataclass(slots=True, kw_only=True)
class Sources:
    """What the trees hold, by the path that it has in a bundle.

    Attributes:
        modules: Rego that decides.
        companions: cases and Rego tests; they lie beside rules and are no part of what OPA loads.
        parameters: by family, those that are shipped.
        own_parameters: an operator's, which win over shipped ones and over the preset's.
        presets: by name.
        families: those that have rules.
        library: digest of what is shipped, whatever is laid over it.
        findings: one sentence each, why these trees cannot be built.
    """

    modules: dict[str, bytes] = field(default_factory=dict)
    companions: dict[str, bytes] = field(default_factory=dict)
    parameters: dict[str, JsonValue] = field(default_factory=dict)
    own_parameters: dict[str, JsonValue] = field(default_factory=dict)
    presets: dict[str, JsonValue] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    library: str = ""
    findings: list[str] = field(default_factory=list)


def library_directory() -> Path:
    """Where the shipped rules are: `policies/` of a checkout, `broker/_policies` of a wheel."""
    packaged = Path(__file__).resolve().parents[1] / "_policies"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "policies"


def read_sources(library: Path, directory: Path | None) -> Sources:
    """Read the shipped library and, laid over it, an operator's own tree.

    Raises:
        OSError: a directory or file cannot be read.
    """
    sources = Sources()
    _read_tree(sources, library, shipped=True)
    sources.library = _digest(sources)
    if directory is not None:
        if not directory.is_dir():
            sources.findings.append(f"{directory}: not a directory")
            return sources
        shipped = frozenset(sources.families)
        own = Sources()
        _read_tree(own, directory, shipped=False)
        _lay_over(sources, own, shipped=shipped)
    return sources


def merged(below: JsonValue, above: JsonValue) -> JsonValue:
    """Objects merge member by member; of anything else, `above` stays."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    both = dict(below)
    for name, value in above.items():
        both[name] = merged(both[name], value) if name in both else value
    return both


def data_document(value: JsonValue) -> bytes:
    """A data file of a bundle: JSON whose bytes depend on the value alone."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1)
    return text.encode("utf-8") + b"\n"


def _digest(sources: Sources) -> str:
    """Of all that decides. Cases and tests are left out: not every release packs them."""
    documents = {"parameters": sources.parameters, "presets": sources.presets}
    parts = {name: data_document(value) for name, value in documents.items()} | sources.modules
    lines = [f"{hashlib.sha256(parts[path]).hexdigest()} {path}\n" for path in sorted(parts)]
    return content_digest("".join(lines).encode("utf-8"))


def _lay_over(sources: Sources, own: Sources, *, shipped: frozenset[str]) -> None:
    for family in sorted(own.families & shipped):
        own.findings.append(
            f"broker/rules/{family}: the shipped family has this name; take another"
        )
    for name in sorted(own.presets.keys() & sources.presets.keys()):
        own.findings.append(f"presets/{name}.yaml: the shipped preset has this name; take another")
    for path in sorted((own.modules.keys() & sources.modules.keys()) - own.companions.keys()):
        if not path.startswith("broker/rules/"):
            own.findings.append(f"{path}: the shipped library has this file")
    sources.modules |= own.modules
    sources.companions |= own.companions
    sources.presets |= own.presets
    sources.families |= own.families
    sources.findings += own.findings
    sources.own_parameters = own.parameters


def _read_tree(sources: Sources, root: Path, *, shipped: bool) -> None:
    for number, path in enumerate(_files(root)):
        relative = path.relative_to(root)
        name = PurePosixPath(relative).as_posix()
        if number >= SOURCES_MAX:
            sources.findings.append(f"{root}: more than {SOURCES_MAX} files")
            return
        if path.suffix not in _WEIGHTY or (shipped and _is_furniture(name)):
            continue
        if path.stat().st_size > SOURCE_BYTES_MAX:
            sources.findings.append(f"{name}: larger than {SOURCE_BYTES_MAX} bytes")
            continue
        _take(sources, name, path.read_bytes(), shipped=shipped)


def _files(root: Path) -> Iterator[Path]:
    """Regular files, in the order of their names; hidden ones and links are none of ours."""
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _is_furniture(name: str) -> bool:
    return name.startswith("schemas/") or name == "capabilities.json"


def _take(sources: Sources, name: str, data: bytes, *, shipped: bool) -> None:
    match PurePosixPath(name).parts:
        case ("broker", "rules", family, file) if _NAME.fullmatch(family):
            if file.endswith(("_test.rego", "_cases.yaml")):
                sources.companions[name] = data
                return
            if file.endswith(".rego"):
                sources.modules[name] = data
                sources.families.add(family)
                return
        case ("lib", library, file) if _NAME.fullmatch(library) and file.endswith(".rego"):
            (sources.companions if file.endswith("_test.rego") else sources.modules)[name] = data
            return
        case ("broker", "decision", file) if shipped and file.endswith(".rego"):
            (sources.companions if file.endswith("_test.rego") else sources.modules)[name] = data
            return
        case ("parameters", family, "data.yaml" | "data.json") if _NAME.fullmatch(family):
            _take_document(sources, name, data, into=sources.parameters, key=family)
            return
        case ("presets", file) if file.endswith(".yaml"):
            _take_document(sources, name, data, into=sources.presets, key=file[: -len(".yaml")])
            return
    sources.findings.append(
        f"{name}: not a place for such a file; there are broker/rules/FAMILY/, "
        "parameters/FAMILY/data.yaml, presets/NAME.yaml and lib/NAME/"
    )


def _take_document(
    sources: Sources, name: str, data: bytes, *, into: dict[str, JsonValue], key: str
) -> None:
    try:
        value = read_yaml(data, bytes_max=SOURCE_BYTES_MAX)
    except YamlRefused as refused:
        sources.findings.append(f"{name}: {refused}")
        return
    if not isinstance(value, dict):
        sources.findings.append(f"{name}: not a mapping")
    elif key in into:
        sources.findings.append(f"{name}: a second file for the same data")
    else:
        into[key] = value

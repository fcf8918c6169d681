"""Files of the directory as a command reads them: every problem at once, with file and line.

YAML, or the same in JSON, which is read much faster: an export of thousands is better JSON.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from broker.cli.failures import CommandFailed, ExitCode
from broker.core.arguments import JsonValue, MalformedJson, parse_value
from broker.core.directory import KINDS, SENSITIVITIES, Entry, Provision
from broker.core.directory_checks import DirectoryRefused, Finding, parse
from broker.core.limits import (
    DIRECTORY_ENTRIES_MAX,
    DIRECTORY_FILE_BYTES_MAX,
    JSON_DEPTH_MAX,
)
from broker.core.text import visible
from broker.v1 import admin_pb2, types_pb2
from broker.yaml_documents import YamlRefused, read_yaml

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
FINDINGS_MAX: Final = 50
_VALUES_OF_ENTRY: Final = 6  # itself, its four members and one that is wrong
_LINES_BYTES_MAX: Final = 1024 * 1024
_Kind = admin_pb2.DirectoryEntry.Kind
_Sensitivity = types_pb2.Artefact.Sensitivity
_KIND: Final = {kind: _Kind.Value(f"KIND_{kind.upper()}") for kind in KINDS}
_SENSITIVITY: Final = {
    one: _Sensitivity.Value(f"SENSITIVITY_{one.upper()}") for one in SENSITIVITIES
}


def provisions(path: Path) -> list[Provision]:
    """What a file says, or each file of a directory.

    Raises:
        CommandFailed: with every problem of all of them.
    """
    files = _files(path)
    found: dict[str, tuple[Path, Provision]] = {}
    findings: list[str] = []
    for file in files:
        try:
            provision = _read(file)
        except _FileRefused as refused:
            findings += refused.findings
            continue
        first, _ = found.setdefault(provision.source, (file, provision))
        if first != file:
            findings.append(f"{file}: {visible(provision.source)} is the source of {first} already")
    if findings:
        more = len(findings) - FINDINGS_MAX
        told = findings[:FINDINGS_MAX] + ([f"… and {more} more"] if more > 0 else [])
        raise CommandFailed("The directory cannot be read:", findings=tuple(told))
    return [provision for _, provision in found.values()]


def entries_out(entries: Iterable[Entry]) -> list[admin_pb2.DirectoryEntry]:
    """Entries as they travel."""
    return [
        admin_pb2.DirectoryEntry(
            kind=_KIND[entry.kind],
            value=entry.value,
            subject=entry.subject,
            sensitivity=_SENSITIVITY[entry.sensitivity],
        )
        for entry in entries
    ]


class _FileRefused(Exception):
    def __init__(self, findings: Iterable[str]) -> None:
        super().__init__()
        self.findings = tuple(findings)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if p.suffix in SUFFIXES and p.name[0] != "."]
    if not files:
        raise CommandFailed(f"There is no *.yaml or *.json in {path}.", exit_code=ExitCode.USAGE)
    return files


def _read(file: Path) -> Provision:
    try:
        with file.open("rb") as opened:
            content = opened.read(DIRECTORY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _FileRefused([f"{file}: {error.strerror}"]) from error
    try:
        return parse(_document(file, content))
    except (YamlRefused, MalformedJson) as wrong:
        raise _FileRefused([f"{file}: {wrong}"]) from wrong
    except DirectoryRefused as refused:
        line_of = _Lines(content)
        raise _FileRefused(_placed(file, one, line_of) for one in refused.findings) from refused


def _document(file: Path, content: bytes) -> JsonValue:
    if file.suffix != ".json":
        return read_yaml(content, bytes_max=DIRECTORY_FILE_BYTES_MAX)
    return parse_value(
        content,
        bytes_max=DIRECTORY_FILE_BYTES_MAX,
        depth_max=JSON_DEPTH_MAX,
        nodes_max=_VALUES_OF_ENTRY * (DIRECTORY_ENTRIES_MAX + 1),
    )


def _placed(file: Path, finding: Finding, line_of: "_Lines") -> str:
    line = line_of(finding.at)
    place = f"{file}:{line}" if line else f"{file}"
    return f"{place}: {finding}" if finding.at else f"{place}: {finding.told}"


class _Lines:
    """Where in a file a JSON Pointer leads; nowhere in one that is too long to be read twice."""

    def __init__(self, content: bytes) -> None:
        self._root: Any = None
        if len(content) > _LINES_BYTES_MAX:
            return
        try:
            # JSON is YAML to this reader, but for what it indents by tabs.
            self._root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
        except (UnicodeDecodeError, yaml.YAMLError):
            return

    def __call__(self, pointer: str) -> int:
        """The line, from 1; of what a missing member should be in; 0 where it is not known."""
        node = self._root
        for token in pointer.split("/")[1:]:
            below = _below(node, token)
            if below is None:
                break
            node = below
        return 0 if node is None else node.start_mark.line + 1


def _below(node: Any, token: str) -> Any:
    if isinstance(node, yaml.SequenceNode) and token.isdecimal():
        return node.value[int(token)] if int(token) < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == token), None)
    return None

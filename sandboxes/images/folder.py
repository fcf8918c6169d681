"""A tool is a folder: `tool.py`, what it imports beside it, `requirements.txt`, `manifest.yaml`.

It is read once, as bytes; nothing in it is imported or run. What is checked here can be told from
the text alone: that there is a `run`, and that it takes what the manifest says it is given.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandboxes.images.refusals import BuildRefused

TOOL_FILE: Final = "tool.py"
MANIFEST_FILE: Final = "manifest.yaml"
REQUIREMENTS_FILE: Final = "requirements.txt"
FILES_MAX: Final = 1_000
BYTES_MAX: Final = 64 << 20
_NOT_TAKEN: Final = frozenset({MANIFEST_FILE, REQUIREMENTS_FILE, "requirements.in", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFolder:
    """What was read.

    Attributes:
        files: path below the folder → content, of what goes into the image.
        manifest: as written.
        requirements: as written; empty where there are none.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: bytes
    requirements: str


def read_folder(path: Path) -> ToolFolder:
    """Read a tool's folder.

    Raises:
        BuildRefused: it is none, or too large, or has links in it.
    """
    missing = [n for n in (TOOL_FILE, MANIFEST_FILE) if not (path / n).is_file()]
    if missing:
        raise BuildRefused(
            f"{path} is no tool's folder: {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing"
        )
    files = dict(_files(path))
    if len(files) > FILES_MAX or sum(map(len, files.values())) > BYTES_MAX:
        raise BuildRefused(f"{path} has more than {FILES_MAX} files or {BYTES_MAX >> 20} MiB")
    requirements = path / REQUIREMENTS_FILE
    return ToolFolder(
        path=path,
        files=files,
        manifest=(path / MANIFEST_FILE).read_bytes(),
        requirements=requirements.read_text() if requirements.is_file() else "",
    )


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part in _NOT_TAKEN or part.startswith(".") for part in relative.parts):
            continue
        if path.is_symlink():
            raise BuildRefused(f"{path} is a link: put the file itself into the folder")
        if path.is_file():
            yield relative.as_posix(), path.read_bytes()


def run_findings(source: bytes, *, taken: Sequence[str], required: Sequence[str]) -> list[str]:
    """What is wrong with `run`, by its text.

    Args:
        source: of tool.py.
        taken: names of the arguments that the manifest allows.
        required: those that are always there.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError) as wrong:
        return [f"{TOOL_FILE} is not Python: {wrong}"]
    for statement in module.body:
        if isinstance(statement, ast.AsyncFunctionDef) and statement.name == "run":
            return [f"{TOOL_FILE}: run is asynchronous: write `def run(call, …)`"]
        if isinstance(statement, ast.FunctionDef) and statement.name == "run":
            return _parameter_findings(statement.args, taken=taken, required=required)
    return [f"{TOOL_FILE} has no `def run(call, …)` at its top level"]


def _parameter_findings(
    given: ast.arguments, *, taken: Sequence[str], required: Sequence[str]
) -> list[str]:
    positional = [*given.posonlyargs, *given.args]
    if not positional:
        return [f"{TOOL_FILE}: run takes no call: write `def run(call, …)`"]
    named = {one.arg for one in positional[len(given.posonlyargs) or 1 :]}
    named |= {one.arg for one in given.kwonlyargs}
    defaults = [one.arg for one in positional[len(positional) - len(given.defaults) :]]
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    defaults += [one.arg for one, default in pairs if default is not None]
    untaken = [] if given.kwarg else [name for name in taken if name not in named]
    undone = sorted(named - set(defaults) - set(required))
    return [
        *(f"{TOOL_FILE}: run does not take {name}, which the manifest has" for name in untaken),
        *(f"{TOOL_FILE}: run needs a default for {name}: a call may lack it" for name in undone),
    ]

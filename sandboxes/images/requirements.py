"""What a tool imports from elsewhere comes as wheels, each named by version and by hash.

A wheel is unpacked and never run: no source distribution, no build step, nothing resolved at build
time. What a requirement itself requires must be listed too.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sandboxes.images.programs import output_of
from sandboxes.images.refusals import BuildRefused

DEADLINE_S: Final = 600
_PINNED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==[A-Za-z0-9.!+_-]+")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_NOT_TAKEN: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
# The C library that a wheel may ask for at most; Debian 12 and Ubuntu 22.04 have 2.35 or more.
_GLIBC_MINOR_MAX: Final = 35
_GLIBC_MINOR_MIN: Final = 5
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_SAID_LINES: Final = 6


def findings(text: str) -> list[str]:
    """What is wrong with a requirements file, by line."""
    return [
        f"requirements.txt:{number}: {wrong}"
        for number, line in _lines(text)
        if (wrong := _finding(line))
    ]


def _finding(line: str) -> str:
    words = line.split()
    if words[0].startswith("-"):
        return f"{words[0]} is an option: only packages with versions and hashes may stand here"
    requirement, _, marker = line.partition("--hash")[0].partition(";")
    if marker:
        return "a marker would be judged by this machine's Python, not the image's: leave it out"
    if not _PINNED.fullmatch(requirement.strip()):
        return f"{requirement.strip()} is not pinned: write name==version"
    if not _HASH.search(line):
        return f"{requirement.strip()} has no --hash=sha256:…: uv pip compile --generate-hashes"
    return ""


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines without comments, with the number that each begins at."""
    held, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"(^|\s)#.*$", "", line).strip()
        begun = begun if held else number
        held = f"{held} {plain.removesuffix(chr(92))}".strip()
        if held and not plain.endswith("\\"):
            yield begun, held
            held = ""
    if held:
        yield begun, held


def wheels(text: str, *, python: str, architecture: str) -> dict[str, bytes]:
    """Fetch and unpack what a requirements file lists.

    Args:
        text: of the file.
        python: version of the image's, "3.11".
        architecture: in Go's words: amd64, arm64.

    Returns:
        Path below the packages' directory → content.

    Raises:
        BuildRefused: something is not pinned, or there is no such wheel.
    """
    if found := findings(text):
        raise BuildRefused("requirements.txt may only name exact wheels", findings=tuple(found))
    if not any(_lines(text)):
        return {}
    with tempfile.TemporaryDirectory(prefix="callbroker-wheels-") as made:
        place = Path(made)
        (place / "requirements.txt").write_text(text)
        _install(place, python=python, architecture=architecture)
        return _unpacked(place / "packages")


def _install(place: Path, *, python: str, architecture: str) -> None:
    machine = _MACHINES.get(architecture, architecture)
    platforms = [
        f"manylinux_2_{minor}_{machine}"
        for minor in range(_GLIBC_MINOR_MAX, _GLIBC_MINOR_MIN - 1, -1)
    ]
    platforms += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"),
        *("--implementation", "cp", "--python-version", python),
        *(word for platform in platforms for word in ("--platform", platform)),
        *("--target", str(place / "packages"), "--requirement", str(place / "requirements.txt")),
    ]
    environment = {**os.environ, "PIP_NO_INPUT": "1"}
    code, told = output_of(command, name="pip", environment=environment, deadline_s=DEADLINE_S)
    if code != 0:
        said = told.splitlines()[-_SAID_LINES:]
        if any("No module named pip" in line for line in said):
            raise BuildRefused(f"pip is missing: {sys.executable} -m ensurepip")
        raise BuildRefused(
            f"no wheel for Python {python} on {machine}, or no package index is reachable",
            findings=tuple(said),
        )


def _unpacked(packages: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(packages.rglob("*")):
        relative = path.relative_to(packages)
        is_ours = relative.parts[0] != "bin" and "__pycache__" not in relative.parts
        if is_ours and path.is_file() and not path.is_symlink() and path.name not in _NOT_TAKEN:
            found[relative.as_posix()] = path.read_bytes()
    return found

"""What of a distribution's file tree goes into a base image: what programs need to run, no more.

However the tree came about, the same is left out: whatever raises privileges, whatever everybody
may write to, package managers with their data, logs, caches, documentation and host names. Files
keep what they are, and lose whose they are, when they were made and every extended attribute (file
capabilities are one).
"""

import tarfile
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

from sandboxes.images.archive import Entry, directory, link, plain_file
from sandboxes.images.layout import INTERPRETER, UID


def _listed(name: str) -> tuple[str, ...]:
    text = (files(__package__) / "left_out" / name).read_text()
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


# Where they begin with one of these, nothing below is taken; a mount point itself stays.
_MOUNT_POINTS: Final = ("dev", "proc", "sys", "tmp")
_LEFT_OUT: Final = _listed("paths.txt")
_PROGRAMS_LEFT_OUT: Final = frozenset(_listed("programs.txt"))
# Kept although what is around them is not: the plain locale, and which packages there are.
_KEPT: Final = ("usr/lib/locale/C.utf8", "var/lib/dpkg/status")
_DIRECTORIES_OF_PROGRAMS: Final = ("bin", "usr/bin", "usr/local/bin")
# Of the standard library: nothing imports them but people who develop Python.
_MODULES_LEFT_OUT: Final = frozenset(
    {
        "__pycache__",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
_USERS: Final = f"root:x:0:0::/:/bin/false\nsandbox:x:{UID}:{UID}::/tmp:/bin/false\n"
_GROUPS: Final = f"root:x:0:\nsandbox:x:{UID}:\n"
_OURS: Final = {
    "etc/group": _GROUPS.encode(),
    "etc/machine-id": b"",
    "etc/passwd": _USERS.encode(),
}


def cleaned(tree: tarfile.TarFile) -> Iterator[Entry]:
    """What is kept of a tree, in order.

    Args:
        tree: with names relative to its root; read from start to end and back, so on disk.
    """
    members = {_plain(member.name): member for member in tree.getmembers()}
    kept = {name for name in members if name and _is_kept(name, members[name])}
    kept |= {above for name in kept for above in _above(name)}
    extra = _extra(set(members))
    for name in sorted(kept | set(extra)):
        if name in extra:
            yield extra[name]
        elif name not in members or members[name].isdir():
            yield directory(name)
        elif members[name].issym():
            yield link(name, members[name].linkname)
        else:
            yield _file(tree, name, members[name])


def paths_of_interpreters(paths: Iterable[str]) -> tuple[str, ...]:
    """Directories "pythonX.Y" of standard libraries in a tree."""
    found = set()
    for path in paths:
        parts = path.strip("/").split("/")
        for at, part in enumerate(parts[:-1]):
            version = part.removeprefix("python3.")
            if part.startswith("python3.") and version.isdecimal() and parts[at + 1] == "os.py":
                found.add("/".join(parts[: at + 1]))
    return tuple(sorted(found))


def _extra(names: set[str]) -> dict[str, Entry]:
    """What every base has, wherever its tree is from."""
    made = {path: plain_file(path, content) for path, content in _OURS.items()}
    made.update({path: directory(path) for path in _MOUNT_POINTS if path != "tmp"})
    made["tmp"] = directory("tmp", 0o1777)
    interpreter = INTERPRETER.strip("/")
    if interpreter not in names and f"usr/local/bin/{interpreter.rpartition('/')[2]}" in names:
        made[interpreter] = link(interpreter, "/usr/local/bin/python3")
    return made


def _is_kept(name: str, member: tarfile.TarInfo) -> bool:
    is_plain = member.isdir() or member.issym() or member.isreg() or member.islnk()
    if not is_plain or _is_below(name, _MOUNT_POINTS):
        return False
    return _is_below(name, _KEPT) or not (
        _is_below(name, _LEFT_OUT)
        or _is_unwanted_program(name)
        or _is_unwanted_documentation(name, member)
        or _is_unwanted_module(name)
    )


def _is_unwanted_program(name: str) -> bool:
    place, _, program = name.rpartition("/")
    plain = program.rstrip("0123456789.")
    return place in _DIRECTORIES_OF_PROGRAMS and bool({program, plain} & _PROGRAMS_LEFT_OUT)


def _is_unwanted_documentation(name: str, member: tarfile.TarInfo) -> bool:
    """Licences stay."""
    is_licence = name.endswith("/copyright") and not member.issym()
    return name.startswith("usr/share/doc/") and not is_licence


def _is_unwanted_module(name: str) -> bool:
    parts = name.split("/")
    is_of_python = any(part.startswith("python3.") for part in parts)
    unwanted = _MODULES_LEFT_OUT.intersection(parts)
    return "perl-base" in parts or name.endswith(".pyc") or (is_of_python and bool(unwanted))


def _file(tree: tarfile.TarFile, name: str, member: tarfile.TarInfo) -> Entry:
    """A hard link becomes a file of its own: who comes first does not matter then."""
    content = tree.extractfile(member)
    source = tree.getmember(member.linkname) if member.islnk() else member
    made, _ = plain_file(name, b"", 0o755 if source.mode & 0o111 else 0o644)
    made.size = source.size
    return made, content


def _plain(name: str) -> str:
    relative = name.removeprefix("./").strip("/")
    return "" if relative == "." else relative


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])


def _is_below(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)

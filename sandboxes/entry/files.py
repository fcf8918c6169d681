"""Only plain files go out of the one directory for them.

A link, a pipe, a device or a directory refuses the whole answer: what is left out in silence would
be missed by nobody. Nothing here is a boundary (the tool runs beside it as the same user): names
and sizes are the node's to judge. The standard library alone, Python 3.9 and on.
"""

import os
import stat

from sandboxes.entry.frames import NAME_CHARACTERS_MAX, File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILES_MAX = 64
FILES_BYTES_MAX = 24 << 20
_PIECE_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileRefused(Exception):
    """A file may not come out; `str` is one sentence, safe to show."""


def lay_in(directory: str, files: "Iterable[File]") -> None:
    """Write what was handed in.

    Args:
        directory: is made; must not be there yet.
        files: with plain names, each once.

    Raises:
        OSError: there is no room, or something is in the way.
    """
    os.mkdir(directory, 0o700)  # noqa: PTH102 - pathlib costs a waiting container memory
    place = os.open(directory, _DIRECTORY)
    try:
        for file in files:
            _write(place, file)
    finally:
        os.close(place)


def _write(place: int, file: File) -> None:
    descriptor = os.open(file.name, _WRITE, 0o600, dir_fd=place)
    try:
        left = memoryview(file.content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def collect(directory: str) -> "list[File]":
    """What lies in a directory, by name.

    Returns:
        Nothing where there is no such directory.

    Raises:
        FileRefused: there is something that is no plain file, or too much.
    """
    try:
        place = os.open(directory, _DIRECTORY)
    except FileNotFoundError:
        return []
    except OSError:
        raise FileRefused("The directory for files that go out was replaced.") from None
    try:
        return _read_all(place, _names(place))
    finally:
        os.close(place)


def _names(place: int) -> "list[str]":
    names: list[str] = []
    with os.scandir(place) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > FILES_MAX:
                raise FileRefused(f"There are more than {FILES_MAX} files.")
    for name in names:
        if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not _is_text(name):
            raise FileRefused(f"The file {_shown(name)} was refused: its name cannot be told.")
    return sorted(names)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False
    return True


def _read_all(place: int, names: "Sequence[str]") -> "list[File]":
    found = []
    left = FILES_BYTES_MAX
    for name in names:
        content = _content(place, name, left)
        left -= len(content)
        found.append(File(name, content))
    return found


def _content(place: int, name: str, bytes_max: int) -> bytes:
    try:
        told = os.stat(name, dir_fd=place, follow_symlinks=False)
    except OSError:
        raise FileRefused(f"The file {_shown(name)} was refused: it was taken away.") from None
    problem = _kind_problem(told) or ("it is too large" if told.st_size > bytes_max else None)
    if problem is not None:
        raise FileRefused(f"The file {_shown(name)} was refused: {problem}.")
    try:
        descriptor = os.open(name, _READ, dir_fd=place)
    except OSError:
        raise FileRefused(f"The file {_shown(name)} was refused: it cannot be read.") from None
    try:
        if _kind_problem(os.fstat(descriptor)) is not None:
            raise FileRefused(f"The file {_shown(name)} was refused: it was replaced.")
        return _read(descriptor, name, bytes_max)
    finally:
        os.close(descriptor)


def _kind_problem(told: os.stat_result) -> "str | None":
    if not stat.S_ISREG(told.st_mode):
        return "it is not a plain file"
    return "it has more than one name" if told.st_nlink != 1 else None


def _read(descriptor: int, name: str, bytes_max: int) -> bytes:
    """What is there now; a file that grows meanwhile is cut off at the cap, not followed."""
    pieces: list[bytes] = []
    left = bytes_max + 1
    while left > 0:
        piece = os.read(descriptor, min(left, _PIECE_BYTES))
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
    raise FileRefused(f"The file {_shown(name)} was refused: it is too large.")


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 40 else name[:40] + "…")  # noqa: PLR2004

"""A file is content that can only be named by whoever was given its name, and it never changes.

An artefact belongs to one session and is named by 256 random bits. Its digest says what is in it
and opens nothing: a name is looked up together with the session that asks, so that another
session's artefact, one that never was and a guessed digest are the same absence. What a tool is
handed is exactly what was named when the call was decided, because there is no way to write to an
artefact twice.

A file's name comes from strangers. It is one plain word for a directory entry: it leads nowhere,
hides nothing, and reads as what it is. One that does not is refused, never
mended: two files must not become one.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.labels import Labels
from broker.core.pointers import MISSING, Pointer
from broker.core.text import visible

MADE_BY_AGENT: Final = "agent"
"""`Artefact.made_by` of what an agent uploaded; anything else is an invocation's name."""

NAME_BYTES: Final = 32
"""Of chance, in every name."""

_PREFIX: Final = "artefacts/"
_NAME: Final = re.compile(r"artefacts/[A-Za-z0-9_-]{43}", re.ASCII)
_RANDOM_CHARACTERS: Final = 43  # NAME_BYTES in base64url


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file that a session has, without what is in it.

    Attributes:
        name: `artefacts/` and 256 random bits in base64url.
        session: whose it is; no other one finds it.
        made_by: `agent`, or the name of the invocation whose tool left it.
        file_name: as `require_file_name` passes it.
        size: bytes.
        sha256: `sha256:` and 64 hexadecimal digits.
        labels: the worst of all that it was made of.
        created_at, expires_at: POSIX seconds; it is erased after the latter.
    """

    name: str
    session: str
    made_by: str
    file_name: str
    size: int
    sha256: str
    labels: Labels
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An artefact with what is in it."""

    artefact: Artefact
    content: bytes


class FileNameRefused(ValueError):
    """The name is no plain file name; `str()` says why and repeats nothing of it."""


def new_name(token: str) -> str:
    """An artefact's name.

    Args:
        token: 256 random bits in base64url, of no other artefact.

    Raises:
        ValueError: it is of another form.
    """
    if not _NAME.fullmatch(_PREFIX + token):
        raise ValueError(f"A name has {_RANDOM_CHARACTERS} characters of base64url.")
    return _PREFIX + token


def is_name(text: JsonValue) -> bool:
    """Whether a value could be an artefact's name at all."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def erased_at(session_expires_at: float) -> float:
    """When a session's files are erased, POSIX seconds, by when the session itself expires."""
    return session_expires_at + limits.ARTEFACT_RETENTION_S


def require_file_name(text: str) -> str:
    r"""Pass a plain file name.

    It has 1 to 128 characters and at most 255 bytes of UTF-8, is in form NFC, and has no
    separator, wildcard or other character that a file system reads (``/\:*?"<>|``); none that is
    invisible, acts on a terminal or turns the direction of writing; no space or dot at an end, no
    `-` or `~` in front; and is no device of an operating system (`CON`, `nul.txt`).

    Raises:
        FileNameRefused: it is anything else.
    """
    for says, is_broken in _REFUSALS:
        if is_broken(text):
            raise FileNameRefused(f"A file's name {says}.")
    return text


def file_names(names: Iterable[str]) -> tuple[str, ...]:
    """The same names in their order, each one once for file systems that ignore case.

    The second `report.csv` becomes `report-2.csv`; what is not repeated stays as it is.
    """
    wanted = tuple(names)
    first_ones = set(map(folded, wanted))
    taken: set[str] = set()
    unique = []
    for name in wanted:
        free = name if folded(name) not in taken else _numbered(name, taken | first_ones)
        taken.add(folded(free))
        unique.append(free)
    return tuple(unique)


def folded(name: str) -> str:
    """The same for names that some file system, or some eye, takes for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def named_in(
    pointers: Sequence[Pointer],
    arguments: Mapping[str, JsonValue],
) -> Mapping[str, JsonValue]:
    """What stands where a tool's arguments name files, by JSON Pointer, in the pointers' order.

    An array names one file with each of its elements; what is left out, or null, names none.
    """
    found: dict[str, JsonValue] = {}
    for pointer in pointers:
        value = pointer.resolve(dict(arguments))
        if value is MISSING or value is None:
            continue
        if isinstance(value, list):
            found |= {str(pointer / index): one for index, one in enumerate(value)}
        else:
            found[str(pointer)] = value
    return found


def are_too_many(artefacts: Sequence[Artefact]) -> bool:
    """Whether they are more than one call is handed."""
    too_large = sum(one.size for one in artefacts) > limits.SANDBOX_FILES_BYTES_MAX
    return len(artefacts) > limits.SANDBOX_FILES_MAX or too_large


def _numbered(name: str, taken: set[str]) -> str:
    stem, dot, ending = name.rpartition(".")
    if not dot:
        stem, ending = name, ""
    number = 2
    while True:
        end = f"-{number}{dot}{ending}"
        kept = stem[: limits.FILE_NAME_CHARACTERS_MAX - len(end)]
        if len((kept + end).encode()) > limits.FILE_NAME_BYTES_MAX:
            kept = kept.encode()[: limits.FILE_NAME_BYTES_MAX - len(end.encode())].decode(
                errors="ignore"
            )
        if folded(kept + end) not in taken:
            return kept + end
        number += 1


# MS-DOS devices, which Windows opens whatever the ending ([Naming Files], and superscript digits).
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?",
    re.IGNORECASE | re.DOTALL,
)
# Separators, wildcards, streams and devices, of POSIX or of Windows.
_SPECIAL: Final = frozenset('/\\:*?"<>|')
_TOO_LONG: Final = (
    f"has 1 to {limits.FILE_NAME_CHARACTERS_MAX} characters "
    f"and at most {limits.FILE_NAME_BYTES_MAX} bytes"
)


def _is_out_of_bounds(text: str) -> bool:
    within = 0 < len(text) <= limits.FILE_NAME_CHARACTERS_MAX
    return not within or len(text.encode(errors="surrogatepass")) > limits.FILE_NAME_BYTES_MAX


_REFUSALS: Final[Sequence[tuple[str, Callable[[str], bool]]]] = (
    (_TOO_LONG, _is_out_of_bounds),
    (
        "is one name without a path, a wildcard or a stream",
        lambda t: bool(_SPECIAL & {*t}),
    ),
    ("is in Unicode form NFC", lambda t: not unicodedata.is_normalized("NFC", t)),
    ("has only characters that show as themselves", lambda t: visible(t) != t),
    ("neither begins nor ends with a dot or a space", lambda t: t.strip(" .") != t),
    ("does not begin with - or ~", lambda t: t.startswith(("-", "~"))),
    ("is no device of an operating system", lambda t: _DEVICE.fullmatch(t) is not None),
)

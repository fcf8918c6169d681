"""A file's name is one plain name: it can neither lead anywhere nor look like another.

Names come from hostile code and end on somebody's disk, in a shell or on a page.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

CHARACTERS_MAX: Final = 128
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
# What other systems open instead of a file, whatever the extension (Win32 file namespaces).
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}
)


def finding(name: str) -> str:
    """What is wrong with a name; empty where it is plain."""
    return next(_findings(name), "")


def _findings(name: str) -> Iterator[str]:
    if not name or len(name) > CHARACTERS_MAX:
        yield f"has {len(name)} characters, not 1 to {CHARACTERS_MAX}"
        return
    if name[0] in ".-~ " or name[-1] in ". ":
        yield "begins with a dot, a dash, a tilde or a space, or ends with a dot or a space"
    if any(c in _FORBIDDEN for c in name):
        yield "has a character that means something to a shell or a file system"
    if not name.isprintable():  # nor a blank other than the plain one
        yield "has a character that cannot be seen"
    if unicodedata.normalize("NFC", name) != name:
        yield "is not in Unicode's composed form (NFC)"
    if name.partition(".")[0].casefold() in _RESERVED:
        yield "is a device on other systems"


def finding_of_all(names: Iterable[str]) -> str:
    """What is wrong with the names of one directory: each by itself, and two that look alike."""
    seen: set[str] = set()
    for number, name in enumerate(names):
        wrong = finding(name)
        if wrong:
            return f"The name of file {number} {wrong}."
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            return f"The name of file {number} is taken already, where case does not count."
        seen.add(folded)
    return ""


def shown(text: str) -> str:
    """Somebody else's text for one line of a message: escaped and cut."""
    return ascii(text[:CHARACTERS_MAX])

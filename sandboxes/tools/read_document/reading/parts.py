"""A document that is an archive is read part by part, and unpacks to no more than a fixed size.

An archive may unpack to a thousand times its size. What several kinds of document have in common is
here too: a title, and texts that are not shown.
"""

import re
import zipfile
import zlib

from reading.found import Found, Refused
from reading.xml_parts import parse

MEMBERS_MAX = 5_000
MEMBER_BYTES_MAX = 24 << 20
BYTES_MAX = 48 << 20
WHITE = re.compile(r"#?f{6}", re.IGNORECASE)
_PIECE_BYTES = 1 << 16


class Parts:
    """Members of one archive, unpacked under one bound."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = BYTES_MAX
        infos = archive.infolist()
        if len(infos) > MEMBERS_MAX:
            raise Refused("DOCUMENT_TOO_LARGE", f"The document has more than {MEMBERS_MAX} parts.")
        self._infos = {info.filename: info for info in infos}

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def matching(self, pattern: str) -> "list[str]":
        """Names, those with numbers in their order."""
        found = [name for name in self._infos if re.fullmatch(pattern, name)]
        return sorted(found, key=lambda name: (len(name), name))

    def read(self, name: str) -> bytes:
        """One member's content; empty where it is not there.

        Raises:
            Refused: it is encrypted, damaged or too large.
        """
        info = self._infos.get(name)
        if info is None:
            return b""
        if info.flag_bits & 1:
            raise Refused("DOCUMENT_ENCRYPTED", "The document is encrypted.")
        pieces = []
        size = 0
        try:
            with self._archive.open(info) as member:
                while piece := member.read(_PIECE_BYTES):
                    size += len(piece)
                    self._left -= len(piece)
                    if size > MEMBER_BYTES_MAX or self._left < 0:
                        raise Refused(
                            "DOCUMENT_TOO_LARGE", "The document unpacks to more than is read."
                        )
                    pieces.append(piece)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError):
            raise Refused("DOCUMENT_BROKEN", "The document is a damaged archive.") from None
        return b"".join(pieces)


def add_title(content: bytes, found: Found) -> None:
    """The text of every element `title`, as the document's name."""
    pieces: list[str] = []

    def text(name: str, piece: str) -> None:
        if name == "title":
            pieces.append(piece)

    parse(content, text=text)
    found.name("".join(pieces))


def hide_texts(content: bytes, found: Found, how: str, *names: str) -> None:
    """The text of every element of these names, as hidden in that way."""

    def text(name: str, piece: str) -> None:
        if name in names:
            found.hide(how, piece)

    parse(content, text=text)

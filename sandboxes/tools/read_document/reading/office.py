"""Word, Excel, PowerPoint and OpenDocument files: archives of XML, of which a few parts are read.

An archive may unpack to a thousand times its size, and XML may name other files or grow from a few
lines: no more than a fixed number of bytes is ever unpacked, and a document type, without which XML
can do neither, refuses the document.
"""

import re
import zipfile
import zlib

from reading.found import Found, Refused
from reading.xml_parts import Element, parse

MEMBERS_MAX = 5_000
MEMBER_BYTES_MAX = 24 << 20
BYTES_MAX = 48 << 20
CELLS_MAX = 200_000
_TINY_HALF_POINTS = 4
_TINY_POINTS = 2.0
_WHITE = re.compile(r"#?f{6}", re.IGNORECASE)
_PIECE_BYTES = 1 << 16


class _Archive:
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


def read(archive: zipfile.ZipFile) -> Found:
    """Read it.

    Raises:
        Refused: it is another kind of archive, or breaks a bound.
    """
    parts = _Archive(archive)
    if "word/document.xml" in parts:
        return _word(parts)
    if "xl/workbook.xml" in parts:
        return _excel(parts)
    if "ppt/presentation.xml" in parts:
        return _powerpoint(parts)
    if "content.xml" in parts:
        return _open_document(parts)
    raise Refused("DOCUMENT_UNSUPPORTED", "The document is an archive of a kind that is not read.")


# -- Word


def _word(parts: _Archive) -> Found:
    found = Found("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    _properties(parts, found)
    names = ["word/document.xml", *parts.matching(r"word/(header|footer)\d*\.xml")]
    for name in (*names, "word/footnotes.xml", "word/endnotes.xml"):
        _word_part(parts.read(name), found)
    for name in parts.matching(r"word/comments\w*\.xml"):
        _hide_texts(parts.read(name), found, "a comment", "t")
    _note_macros(parts, found)
    return found


def _word_part(content: bytes, found: Found) -> None:
    follower = _WordText(found)
    parse(content, start=follower.start, text=follower.text, end=follower.end)


class _WordText:
    """Text, run by run: a run's properties come before its text."""

    _BREAKS = {"tab": "\t", "br": "\n"}  # noqa: RUF012 - never changed
    _ENDS = {"p": "\n", "tr": "\n", "tc": "\t"}  # noqa: RUF012 - never changed
    _UNSEEN = {"delText": "deleted text", "instrText": "a field's code"}  # noqa: RUF012 - likewise

    def __init__(self, found: Found) -> None:
        self._found = found
        self._hidden = ""  # how the run that is open hides its text

    def start(self, element: Element) -> None:
        if element.name == "r":
            self._hidden = ""
        elif element.name in self._BREAKS and element.parent == "r":
            self._found.add(self._BREAKS[element.name])
        elif element.parent == "rPr":
            self._hidden = self._hidden or _word_hiding(element)

    def text(self, name: str, piece: str) -> None:
        how = self._hidden if name == "t" else self._UNSEEN.get(name, "")
        if how:
            self._found.hide(how, piece)
        elif name == "t":
            self._found.add(piece)

    def end(self, name: str) -> None:
        if name in self._ENDS:
            self._found.add(self._ENDS[name])


def _word_hiding(element: Element) -> str:
    """How one property of a run hides its text; empty where it does not."""
    value = element.get("val")
    if element.name in ("vanish", "webHidden", "specVanish"):
        return "" if value in ("0", "false", "off") else "hidden text"
    if element.name == "color":
        return "white text" if _WHITE.fullmatch(value) else ""
    if element.name == "sz" and value.isdecimal() and int(value) <= _TINY_HALF_POINTS:
        return "a tiny font"
    return ""


# -- Excel


def _excel(parts: _Archive) -> Found:
    found = Found("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    _properties(parts, found)
    sheets: list[tuple[str, bool]] = []

    def sheet(element: Element) -> None:
        if element.name == "sheet":
            sheets.append((element.get("name"), element.get("state") in ("hidden", "veryHidden")))

    parse(parts.read("xl/workbook.xml"), start=sheet)
    shared = _shared_strings(parts.read("xl/sharedStrings.xml"))
    files = parts.matching(r"xl/worksheets/sheet\d+\.xml")
    found.pages = len(files)
    left = CELLS_MAX
    for number, name in enumerate(files):
        title, is_hidden = (
            sheets[number] if number < len(sheets) else (f"sheet {number + 1}", False)
        )
        if not is_hidden:
            found.add(f"\n{title}\n")
        follower = _SheetText(found, shared, hidden=is_hidden, left=left)
        parse(parts.read(name), start=follower.start, text=follower.text, end=follower.end)
        left = follower.left
    for name in parts.matching(r"xl/(comments\d*|threadedComments/\w+)\.xml"):
        _hide_texts(parts.read(name), found, "a comment", "t", "text")
    _note_macros(parts, found)
    return found


def _shared_strings(content: bytes) -> "list[str]":
    strings: list[str] = []

    def start(element: Element) -> None:
        if element.name == "si":
            strings.append("")

    def text(name: str, piece: str) -> None:
        if name == "t" and strings:
            strings[-1] += piece

    parse(content, start=start, text=text)
    return strings


class _SheetText:
    """Values, row by row; formulas apart."""

    def __init__(self, found: Found, shared: "list[str]", *, hidden: bool, left: int) -> None:
        self.left = left
        self._found = found
        self._shared = shared
        self._sheet_hidden = "a hidden sheet" if hidden else ""
        self._row_hidden = ""
        self._kind = ""

    def start(self, element: Element) -> None:
        if element.name == "row":
            hidden = element.get("hidden") in ("1", "true")
            self._row_hidden = "a hidden row" if hidden else ""
        elif element.name == "c":
            self._kind = element.get("t")
            self.left -= 1

    def text(self, name: str, piece: str) -> None:
        if self.left < 0:
            self._found.is_cut = True
            return
        value = self._value(name, piece)
        how = "a formula" if name == "f" else self._sheet_hidden or self._row_hidden
        if how:
            self._found.hide(how, value)
        else:
            self._found.add(value)

    def end(self, name: str) -> None:
        separator = {"c": "\t", "row": "\n"}.get(name)
        if separator and self.left >= 0 and not (self._sheet_hidden or self._row_hidden):
            self._found.add(separator)

    def _value(self, name: str, piece: str) -> str:
        if name == "v" and self._kind == "s":
            index = int(piece) if piece.strip().isdecimal() else -1
            return self._shared[index] if 0 <= index < len(self._shared) else ""
        return piece if name in ("v", "t", "f") else ""


# -- PowerPoint


def _powerpoint(parts: _Archive) -> Found:
    found = Found("application/vnd.openxmlformats-officedocument.presentationml.presentation")
    _properties(parts, found)
    slides = parts.matching(r"ppt/slides/slide\d+\.xml")
    found.pages = len(slides)
    for number, name in enumerate(slides, 1):
        content = parts.read(name)
        if _is_unshown(content):
            _hide_texts(content, found, "a hidden slide", "t")
            continue
        found.add(f"\nSlide {number}\n")
        _add_texts(content, found)
    for name in parts.matching(r"ppt/notesSlides/notesSlide\d+\.xml"):
        _hide_texts(parts.read(name), found, "a speaker's notes", "t")
    for name in parts.matching(r"ppt/comments/\w+\.xml"):
        _hide_texts(parts.read(name), found, "a comment", "text", "t")
    _note_macros(parts, found)
    return found


def _is_unshown(content: bytes) -> bool:
    shown = True

    def start(element: Element) -> None:
        nonlocal shown
        if element.name == "sld":
            shown = element.get("show") not in ("0", "false")

    parse(content, start=start)
    return not shown


def _add_texts(content: bytes, found: Found) -> None:
    def text(name: str, piece: str) -> None:
        if name == "t":
            found.add(piece)

    def end(name: str) -> None:
        if name == "p":
            found.add("\n")

    parse(content, text=text, end=end)


# -- OpenDocument

_ODF_HIDDEN = {
    "annotation": "a comment",
    "deletion": "deleted text",
    "notes": "a speaker's notes",
    "hidden-text": "hidden text",
    "hidden-paragraph": "hidden text",
}


def _open_document(parts: _Archive) -> Found:
    kind = parts.read("mimetype")[:100].decode("ascii", "replace").strip()
    found = Found(kind if kind.startswith("application/vnd.oasis.") else "application/zip")
    if b"encryption-data" in parts.read("META-INF/manifest.xml"):
        raise Refused("DOCUMENT_ENCRYPTED", "The document is encrypted.")
    _hide_texts(parts.read("meta.xml"), found, "metadata", "description", "subject", "keyword")
    _title(parts.read("meta.xml"), found)
    _odf_content(parts.read("content.xml"), found)
    if any(True for _ in parts.matching(r"(Basic|Scripts)/.+")):
        found.note("it has macros, which were not run")
    return found


def _odf_content(content: bytes, found: Found) -> None:
    styles: dict[str, str] = {}
    style = ""
    open_hidden: list[str] = []  # per open element, how it hides what is in it

    def start(element: Element) -> None:
        nonlocal style
        if element.name == "style":
            style = element.get("name")
        elif element.name == "text-properties" and style:
            styles[style] = styles.get(style) or _odf_hiding(element)
        how = _ODF_HIDDEN.get(element.name, "") or styles.get(element.get("style-name"), "")
        open_hidden.append((open_hidden[-1] if open_hidden else "") or how)
        if element.name in ("tab", "line-break", "s"):
            found.add({"tab": "\t", "line-break": "\n", "s": " "}[element.name])

    def text(_: str, piece: str) -> None:
        how = open_hidden[-1] if open_hidden else ""
        if how:
            found.hide(how, piece)
        else:
            found.add(piece)

    def end(name: str) -> None:
        hidden = open_hidden.pop() if open_hidden else ""
        if not hidden and name in ("p", "h", "table-row"):
            found.add("\n")
        elif not hidden and name == "table-cell":
            found.add("\t")

    parse(content, start=start, text=text, end=end)


def _odf_hiding(element: Element) -> str:
    if element.get("display") == "none":
        return "hidden text"
    if _WHITE.fullmatch(element.get("color")):
        return "white text"
    size = element.get("font-size")
    if size.endswith("pt") and size[:-2].replace(".", "", 1).isdecimal():
        return "a tiny font" if float(size[:-2]) <= _TINY_POINTS else ""
    return ""


# -- all


def _properties(parts: _Archive, found: Found) -> None:
    core = parts.read("docProps/core.xml")
    _title(core, found)
    _hide_texts(core, found, "metadata", "subject", "keywords", "description", "category")


def _title(content: bytes, found: Found) -> None:
    pieces: list[str] = []

    def text(name: str, piece: str) -> None:
        if name == "title":
            pieces.append(piece)

    parse(content, text=text)
    found.name("".join(pieces))


def _hide_texts(content: bytes, found: Found, how: str, *names: str) -> None:
    def text(name: str, piece: str) -> None:
        if name in names:
            found.hide(how, piece)

    parse(content, text=text)


def _note_macros(parts: _Archive, found: Found) -> None:
    if parts.matching(r"(word|xl|ppt)/vbaProject\.bin"):
        found.note("it has macros, which were not run")
    if parts.matching(r"(word|xl|ppt)/embeddings/.+"):
        found.note("it has files within it, which were not read")

"""Word, Excel and PowerPoint files: archives of XML, of which a few parts are read.

XML may name other files or grow from a few lines: a document type, without which it can do neither,
refuses the document.
"""

import zipfile

from reading import open_document
from reading.found import Found, Refused
from reading.parts import WHITE, Parts, add_title, hide_texts
from reading.xml_parts import Element, parse

CELLS_MAX = 200_000
_TINY_HALF_POINTS = 4


def read(archive: zipfile.ZipFile) -> Found:
    """Read it.

    Raises:
        Refused: it is another kind of archive, or breaks a bound.
    """
    parts = Parts(archive)
    if "word/document.xml" in parts:
        return _word(parts)
    if "xl/workbook.xml" in parts:
        return _excel(parts)
    if "ppt/presentation.xml" in parts:
        return _powerpoint(parts)
    if "content.xml" in parts:
        return open_document.read(parts)
    raise Refused("DOCUMENT_UNSUPPORTED", "The document is an archive of a kind that is not read.")


# -- Word


def _word(parts: Parts) -> Found:
    found = Found("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    _properties(parts, found)
    names = ["word/document.xml", *parts.matching(r"word/(header|footer)\d*\.xml")]
    for name in (*names, "word/footnotes.xml", "word/endnotes.xml"):
        _word_part(parts.read(name), found)
    for name in parts.matching(r"word/comments\w*\.xml"):
        hide_texts(parts.read(name), found, "a comment", "t")
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
        return "white text" if WHITE.fullmatch(value) else ""
    if element.name == "sz" and value.isdecimal() and int(value) <= _TINY_HALF_POINTS:
        return "a tiny font"
    return ""


# -- Excel


def _excel(parts: Parts) -> Found:
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
        hide_texts(parts.read(name), found, "a comment", "t", "text")
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


def _powerpoint(parts: Parts) -> Found:
    found = Found("application/vnd.openxmlformats-officedocument.presentationml.presentation")
    _properties(parts, found)
    slides = parts.matching(r"ppt/slides/slide\d+\.xml")
    found.pages = len(slides)
    for number, name in enumerate(slides, 1):
        content = parts.read(name)
        if _is_unshown(content):
            hide_texts(content, found, "a hidden slide", "t")
            continue
        found.add(f"\nSlide {number}\n")
        _add_texts(content, found)
    for name in parts.matching(r"ppt/notesSlides/notesSlide\d+\.xml"):
        hide_texts(parts.read(name), found, "a speaker's notes", "t")
    for name in parts.matching(r"ppt/comments/\w+\.xml"):
        hide_texts(parts.read(name), found, "a comment", "text", "t")
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


# -- all


def _properties(parts: Parts, found: Found) -> None:
    core = parts.read("docProps/core.xml")
    add_title(core, found)
    hide_texts(core, found, "metadata", "subject", "keywords", "description", "category")


def _note_macros(parts: Parts, found: Found) -> None:
    if parts.matching(r"(word|xl|ppt)/vbaProject\.bin"):
        found.note("it has macros, which were not run")
    if parts.matching(r"(word|xl|ppt)/embeddings/.+"):
        found.note("it has files within it, which were not read")

"""PDF: text page by page, and apart from it text that is drawn so that nobody sees it."""

import io
import logging
import sys

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, LimitReachedError, PyPdfError

from reading.found import Found, Refused

PAGES_MAX = 500
_INVISIBLE = 3  # text render mode (ISO 32000-1, table 106)
_TINY_POINTS = 2.0
_WHITE = 0.97
_METADATA = ("subject", "keywords", "author", "creator", "producer")
_STACK_MAX = 500

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read(content: bytes) -> Found:
    """Read it.

    Raises:
        Refused: it is encrypted, damaged, or unpacks to too much.
    """
    found = Found("application/pdf")
    sys.setrecursionlimit(600)
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("DOCUMENT_ENCRYPTED", "The document is encrypted.")
        _metadata(reader, found)
        found.pages = len(reader.pages)
        for number, page in enumerate(reader.pages):
            if number >= PAGES_MAX:
                found.is_cut = True
                found.note(f"only the first {PAGES_MAX} pages were read")
                break
            _page(page, found)
    except (FileNotDecryptedError, NotImplementedError):
        raise Refused("DOCUMENT_ENCRYPTED", "The document is encrypted.") from None
    except LimitReachedError:
        raise Refused("DOCUMENT_TOO_LARGE", "The document unpacks to more than is read.") from None
    except PyPdfError:
        raise Refused("DOCUMENT_BROKEN", "The document is a damaged PDF.") from None
    return found


def _metadata(reader: PdfReader, found: Found) -> None:
    told = reader.metadata
    if told is not None:
        found.name(str(told.title or ""))
        for name in _METADATA:
            found.hide(f"metadata ({name})", str(getattr(told, name) or ""))
    root = reader.trailer["/Root"]
    names = root.get("/Names") or {}
    if "/OpenAction" in root or "/AA" in root or "/JavaScript" in names:
        found.note("it has actions or scripts, which were not run")
    if "/EmbeddedFiles" in names:
        found.note("it has files within it, which were not read")
    if "/AcroForm" in root:
        for name, value in (reader.get_form_text_fields() or {}).items():
            found.hide("a form's value", f"{name}: {value or ''}")


class _Drawing:
    """What of the drawing's state says whether text is seen."""

    def __init__(self) -> None:
        self.mode = 0
        self.is_white = False
        self._saved: list[tuple[int, bool]] = []

    def follow(self, operator: bytes, operands: "Sequence[Any]") -> None:
        """One operator (ISO 32000-1, annex A)."""
        if operator == b"q" and len(self._saved) < _STACK_MAX:
            self._saved.append((self.mode, self.is_white))
        elif operator == b"Q" and self._saved:
            self.mode, self.is_white = self._saved.pop()
        elif operator == b"Tr" and operands:
            self.mode = int(operands[0])
        elif operator in (b"g", b"rg", b"sc", b"scn"):
            levels = [float(o) for o in operands if isinstance(o, (int, float))]
            self.is_white = bool(levels) and min(levels) >= _WHITE
        elif operator == b"k":
            self.is_white = all(float(level) <= 1 - _WHITE for level in operands)


def _page(page: "Any", found: Found) -> None:
    drawing = _Drawing()
    box = page.mediabox
    edges = (float(box.left), float(box.bottom), float(box.right), float(box.top))

    def before(operator: bytes, operands: "Sequence[Any]", *_: object) -> None:
        drawing.follow(operator, operands)

    def text(
        piece: str, outer: "Sequence[float]", inner: "Sequence[float]", _: object, size: float
    ) -> None:
        how = _hidden_by(drawing, _height(outer, inner, size), _place(outer, inner), edges)
        if how and piece.strip():
            found.hide(how, piece)
        else:
            found.add(piece)

    page.extract_text(visitor_operand_before=before, visitor_text=text)
    found.add("\n\f\n".replace("\f", ""))
    for reference in page.get("/Annots") or ():
        annotation = reference.get_object()
        if annotation.get("/Contents"):
            found.hide("an annotation", str(annotation["/Contents"]))


def _hidden_by(
    drawing: _Drawing,
    height: float,
    place: "tuple[float, float]",
    edges: "tuple[float, float, float, float]",
) -> str:
    if drawing.mode == _INVISIBLE:
        return "invisible text"
    if height and height < _TINY_POINTS:
        return "a tiny font"
    left, bottom, right, top = edges
    if not (left - 1 <= place[0] <= right + 1 and bottom - 1 <= place[1] <= top + 1):
        return "a place off the page"
    return "white text" if drawing.is_white else ""


def _height(outer: "Sequence[float]", inner: "Sequence[float]", size: float) -> float:
    scale: float = (abs(inner[3]) or abs(inner[1])) * (abs(outer[3]) or abs(outer[1]))
    return abs(float(size)) * scale


def _place(outer: "Sequence[float]", inner: "Sequence[float]") -> "tuple[float, float]":
    x, y = inner[4], inner[5]
    return (
        x * outer[0] + y * outer[2] + outer[4],
        x * outer[1] + y * outer[3] + outer[5],
    )

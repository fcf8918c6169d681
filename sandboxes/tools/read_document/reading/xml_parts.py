"""XML is followed element by element, and may neither declare anything nor nest without end."""

from xml.parsers import expat

from reading.found import Refused

DEPTH_MAX = 256
ELEMENTS_MAX = 3_000_000

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Element:
    """One that begins: its name and its attributes, without namespaces."""

    def __init__(self, name: str, parent: str, attributes: "dict[str, str]") -> None:
        self.name = name
        self.parent = parent
        self._attributes = attributes

    def get(self, name: str) -> str:
        """An attribute; empty where there is none."""
        if name in self._attributes:
            return self._attributes[name]
        ending = f" {name}"
        return next((v for k, v in self._attributes.items() if k.endswith(ending)), "")


def parse(
    content: bytes,
    *,
    start: "Callable[[Element], None] | None" = None,
    text: "Callable[[str, str], None] | None" = None,
    end: "Callable[[str], None] | None" = None,
) -> None:
    """Follow a part of a document.

    Args:
        content: of the part; an empty one has nothing in it.
        start: an element begins.
        text: name of the innermost element, and all text in it up to its next child or its end.
        end: name of an element that ends.

    Raises:
        Refused: it is damaged, declares a document type, or nests too deeply.
    """
    if not content:
        return
    follower = _Follower(start, text, end)
    try:
        follower.parser.Parse(content, True)  # noqa: FBT003 - the library's own shape
    except expat.ExpatError:
        raise Refused("DOCUMENT_BROKEN", "A part of the document is no XML.") from None


class _Follower:
    def __init__(
        self,
        start: "Callable[[Element], None] | None",
        text: "Callable[[str, str], None] | None",
        end: "Callable[[str], None] | None",
    ) -> None:
        self._start, self._text, self._end = start, text, end
        self._open: list[str] = []
        self._pieces: list[str] = []
        self._elements = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._starts
        self.parser.EndElementHandler = self._ends
        self.parser.CharacterDataHandler = self._pieces.append
        # Entities, and with them other files and growth, need a document type (XML 1.0 §2.8).
        self.parser.StartDoctypeDeclHandler = self._refuse_type

    def _refuse_type(self, *_: object) -> None:
        raise Refused("DOCUMENT_REFUSED", "The document declares an XML document type.")

    def _starts(self, name: str, attributes: "dict[str, str]") -> None:
        self._flush()
        self._elements += 1
        if len(self._open) >= DEPTH_MAX:
            raise Refused("DOCUMENT_TOO_DEEP", "The document is nested too deeply.")
        if self._elements > ELEMENTS_MAX:
            raise Refused("DOCUMENT_TOO_LARGE", "The document has too many parts.")
        local = name.rpartition(" ")[2]
        parent = self._open[-1] if self._open else ""
        self._open.append(local)
        if self._start is not None:
            self._start(Element(local, parent, attributes))

    def _ends(self, name: str) -> None:
        self._flush()
        self._open.pop()
        if self._end is not None:
            self._end(name.rpartition(" ")[2])

    def _flush(self) -> None:
        if self._pieces and self._text is not None and self._open:
            self._text(self._open[-1], "".join(self._pieces))
        self._pieces.clear()

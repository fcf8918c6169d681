"""What was found in a document, under caps: text, what of it people do not see, and remarks.

Hidden text is never part of the text: it stands by itself, each piece with how it was hidden, so
that nothing in a document can pass for the mark that it is hidden.
"""

TEXT_CHARACTERS_MAX = 2_000_000
HIDDEN_CHARACTERS_MAX = 500  # of one piece
HIDDEN_PIECES_MAX = 1_000
NOTES_MAX = 20
TITLE_CHARACTERS_MAX = 300
_KEPT_CONTROLS = "\n\t"
# Characters that nobody sees and models read.
_TAGS = range(0xE0020, 0xE007F)
_UNSEEN = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Refused(Exception):
    """The document is not read further; `code` is UPPER_SNAKE, `str` one sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Found:
    """What was found.

    Attributes:
        pages: or slides or sheets; None where a document has none.
        hidden: "how" and "text" of each piece.
        is_cut: there is more that was not read.
    """

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self.title = ""
        self.pages: int | None = None
        self.hidden: list[dict[str, str]] = []
        self.is_cut = False
        self._pieces: list[str] = []
        self._characters = 0
        self._notes: dict[str, None] = {}
        self._hidden_count = 0

    def add(self, text: str) -> None:
        """Text that people see."""
        room = TEXT_CHARACTERS_MAX - self._characters
        if len(text) > room:
            self.is_cut = True
            text = text[:room]
        self._pieces.append(text)
        self._characters += len(text)

    def hide(self, how: str, text: str) -> None:
        """Text that people do not see."""
        plain = " ".join(cleaned(text).split())
        if not plain:
            return
        self._hidden_count += 1
        if self.hidden and self.hidden[-1]["how"] == how:
            joined = f"{self.hidden[-1]['text']} {plain}"
            if len(joined) <= HIDDEN_CHARACTERS_MAX:
                self.hidden[-1]["text"] = joined
                return
        if len(self.hidden) < HIDDEN_PIECES_MAX:
            self.hidden.append({"how": how, "text": plain[:HIDDEN_CHARACTERS_MAX]})

    def note(self, remark: str) -> None:
        """A remark of ours; each once."""
        if len(self._notes) < NOTES_MAX:
            self._notes[remark] = None

    def name(self, title: str) -> None:
        """The title that the document gives itself."""
        self.title = " ".join(cleaned(title).split())[:TITLE_CHARACTERS_MAX]

    def text(self) -> str:
        """All of it, with what is unseen within it told apart."""
        text = "".join(self._pieces)
        tags = [chr(ord(c) - 0xE0000) for c in text if ord(c) in _TAGS]
        if tags:
            self.hide("Unicode tag characters", "".join(tags))
        if any(c in _TURNING for c in text):
            self.note("characters that turn the direction of writing were taken out")
        unseen = sum(c in _UNSEEN for c in text)
        if unseen:
            self.note("characters without width were taken out")
        kept = (c for c in text if c not in _UNSEEN and c not in _TURNING and ord(c) not in _TAGS)
        return _without_empty_lines(cleaned("".join(kept)))

    def notes_told(self, *, hidden_max: int) -> "list[str]":
        """The remarks, and that there is hidden text."""
        told = list(self._notes)
        if self.hidden:
            told.insert(0, "hidden text was found: it is under `hidden`, not in `text`")
        if len(self.hidden) > hidden_max:
            told.append(f"only the first {hidden_max} pieces of hidden text are told")
        return told


def cleaned(text: str) -> str:
    """Without control characters and lone surrogates."""
    return "".join(
        c if c in _KEPT_CONTROLS or (c.isprintable() or c.isspace()) and ord(c) >= 32 else "\ufffd"  # noqa: PLR2004, RUF021
        for c in text.replace("\r\n", "\n").replace("\r", "\n")
        if not 0xD800 <= ord(c) <= 0xDFFF  # noqa: PLR2004
    )


def joined(pieces: "Iterable[str]") -> str:
    """Pieces with one space between."""
    return " ".join(piece.strip() for piece in pieces if piece.strip())


def _without_empty_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip("\n")

"""What was found in a document, under caps: text, what of it people do not see, and remarks.

Hidden text is never part of the text: it stands by itself, each piece with how it was hidden, so
that nothing in a document can pass for the mark that it is hidden.
"""

import re

TEXT_CHARACTERS_MAX = 2_000_000
HIDDEN_CHARACTERS_MAX = 500  # of one piece
HIDDEN_PIECES_MAX = 1_000
NOTES_MAX = 20
TITLE_CHARACTERS_MAX = 300
# Characters that nobody sees and models read.
_TAGS = re.compile("[\U000e0020-\U000e007e]")
_UNSEEN = re.compile(
    "[\u200b-\u200d\u2060-\u2064\ufeff\u00ad\u180e\ufe00-\ufe0f\U000e0000-\U000e01ef]"
)
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


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
        tags = _TAGS.findall(text)
        if tags:
            self.hide("Unicode tag characters", "".join(chr(ord(c) - 0xE0000) for c in tags))
            text = _TAGS.sub("", text)
        if _TURNING.search(text):
            self.note("characters that turn the direction of writing were taken out")
            text = _TURNING.sub("", text)
        if _UNSEEN.search(text):
            self.note("characters without width were taken out")
            text = _UNSEEN.sub("", text)
        return _without_empty_lines(cleaned(text))

    def notes_told(self, *, hidden_max: int) -> "list[str]":
        """The remarks, and that there is hidden text."""
        told = list(self._notes)
        if self.hidden:
            told.insert(0, "hidden text was found: it is under `hidden`, not in `text`")
        if len(self.hidden) > hidden_max:
            told.append(f"only the first {hidden_max} pieces of hidden text are told")
        return told


def cleaned(text: str) -> str:
    """Without control characters but line ends and tabs, and without lone surrogates."""
    plain = _SURROGATES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", plain)


def _without_empty_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip("\n")

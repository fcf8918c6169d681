r"""Whatever others wrote reaches the terminal escaped, unstyled and in its own column.

There are two kinds of text: `ours`, which a command words itself, and `theirs`, which passes the
one escaper. Long text is folded here and never by the terminal: a line that a terminal broke would
start at the left edge, where labels stand, and padding could make anything stand there.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from broker.cli import environment
from broker.core.text import visible

WIDTH_DEFAULT: Final = 100
GAP: Final = 2
COLUMN_MIN: Final = 10
WORD_MAX: Final = 24
_WIDE: Final = 100_000
_HANGING: Final = 2
# Where a name or a code is broken that is longer than its column.
_JOINTS: Final = frozenset("_/@")

STYLES: Final = {
    "ALLOW": "green",
    "HOLD": "yellow",
    "DENY": "red",
    "SUCCEEDED": "green",
    "HELD": "yellow",
    "RUNNING": "cyan",
    "DENIED": "red",
    "REJECTED": "red",
    "FAILED": "red",
    "UNKNOWN": "bold red",
    "PENDING": "yellow",
    "APPROVED": "green",
    "CLAIMED": "green",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a picture depends on besides what it shows.

    Attributes:
        now: POSIX seconds.
        zone: that times are told in.
        width: of the terminal, in cells.
    """

    now: float
    zone: tzinfo
    width: int = WIDTH_DEFAULT


def around() -> Around:
    """As it is; 100 cells wide where nobody looks."""
    columns = shutil.get_terminal_size((WIDTH_DEFAULT, 0)).columns
    return Around(
        now=environment.now(),
        zone=environment.local_zone(),
        width=columns if sys.stdout.isatty() else WIDTH_DEFAULT,
    )


def ours(text: str, style: str = "") -> Text:
    """Words of the command's own."""
    return Text(text, style=style)


def theirs(text: str, style: str = "") -> Text:
    """Anything else, so that it can neither act nor deceive."""
    return Text(visible(text), style=style)


def shown_before(text: str, style: str = "") -> Text:
    r"""What the broker has shown escaped already (a summary): its backslashes stay single."""
    return Text("\\".join(visible(part) for part in text.split("\\")), style=style)


def state(word: str) -> Text:
    """A state or an effect, in its colour."""
    return Text(visible(word), style=STYLES.get(word, ""))


def say(*lines: Text | str) -> None:
    """Print lines as they are; a plain string is one of ours."""
    console = Console(
        file=sys.stdout,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        no_color=None if "NO_COLOR" not in os.environ else True,
    )
    for line in lines:
        console.print(ours(line) if isinstance(line, str) else line, soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[Text]], *, width: int) -> list[Text]:
    """Rows under headers; what does not fit is folded in its own column."""
    head = [ours(header, "bold") for header in headers]
    return columns([head, *rows], width=width)


def columns(rows: Sequence[Sequence[Text]], *, width: int) -> list[Text]:
    """Rows of cells as lines, each column as wide as it needs to be and the widest ones folded."""
    if not rows:
        return []
    widths = _fitted(
        [max(row[i].cell_len for row in rows) for i in range(len(rows[0]))],
        whole=[max(_word_len(row[i].plain) for row in rows) for i in range(len(rows[0]))],
        width=width,
    )
    lines: list[Text] = []
    for row in rows:
        folded = [fold(cell, cells) for cell, cells in zip(row, widths, strict=True)]
        for depth in range(max(len(cell) for cell in folded)):
            parts = [cell[depth] if depth < len(cell) else Text() for cell in folded]
            lines.append(_joined(parts, widths))
    return lines


def labelled(label: str, value: Text, *, indent: int, width: int) -> list[Text]:
    """A label and its value, folded under itself."""
    first, *more = fold(value, max(width - indent, COLUMN_MIN))
    lines = [Text.assemble((label.ljust(indent), "bold"), first)]
    return lines + [Text.assemble(" " * indent, part) for part in more]


def beside(left: Text, right: Text, *, width: int, gap: int = 4) -> list[Text]:
    """Two texts on one line, the second at its end; below it, indented, where that is too long."""
    room = width - left.cell_len - right.cell_len
    if room >= gap:
        return [Text.assemble(left, " " * room, right)]
    first, *more = fold(left, width - _HANGING)
    return [first, *(ours(" " * _HANGING) + part for part in (*more, right))]


def fold(text: Text, cells: int) -> list[Text]:
    """Pieces of at most so many cells, whole words where that is possible; nothing is left out."""
    plain = text.plain
    pieces: list[Text] = []
    start = 0
    while start < len(plain):
        end = _end_of_line(plain, start, cells)
        pieces.append(text[start:end])
        start = end
    return pieces or [Text()]


def _end_of_line(plain: str, start: int, cells: int) -> int:
    used, end, after_space, after_joint = 0, start, 0, 0
    while end < len(plain):
        used += cell_len(plain[end])
        if used > cells:
            break
        end += 1
        if plain[end - 1] == " ":
            after_space = end
        elif plain[end - 1] in _JOINTS:
            after_joint = end
    if end == len(plain):
        return end
    return max(after_space or after_joint or end, start + 1)


def _word_len(plain: str) -> int:
    """Cells of the longest word; of one that is no name or code, as many as a name may have."""
    return min(max((cell_len(word) for word in plain.split(" ")), default=0), WORD_MAX)


def _fitted(widths: list[int], *, whole: list[int], width: int) -> list[int]:
    """Take from the widest until all fit: first where no word is broken, then down to a little."""
    room = width - GAP * (sum(1 for cells in widths if cells) - 1)
    fitted = list(widths)
    for least in ([max(cells, COLUMN_MIN) for cells in whole], [COLUMN_MIN] * len(widths)):
        while sum(fitted) > room:
            spare = [i for i, cells in enumerate(fitted) if cells > least[i]]
            if not spare:
                break
            fitted[max(spare, key=fitted.__getitem__)] -= 1
    return fitted


def _joined(parts: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for part, cells in zip(parts, widths, strict=True):
        line.append_text(part)
        line.append(" " * (cells - part.cell_len + (GAP if cells else 0)))
    line.rstrip()
    return line


def list_width(shown: Around) -> int:
    """For lists: the terminal's own width, or without end where nobody looks."""
    return shown.width if sys.stdout.isatty() else _WIDE

r"""Whatever others wrote reaches the terminal escaped, unstyled and in its own column.

There are two kinds of text: `ours`, which a command words itself, and `theirs`, which passes the
one escaper. Long text is folded here and never by the terminal: a line that a terminal broke would
start at the left edge, where labels stand, and padding could make anything stand there.
"""

import os
import re
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
NARROW: Final = 100  # below it a table has its longest column on lines of its own
# Where a name or a code is broken that is longer than its column: behind one of these, and behind a
# point only before a letter, as an amount has one, too.
_JOINT: Final = re.compile(r"(?<=[_/@#-])|(?<=\.)(?=[A-Za-z])")

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


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Text]],
    *,
    width: int,
    below: int | None = None,
) -> list[Text]:
    """Rows under headers; what does not fit is folded in its own column.

    Args:
        headers: of the columns.
        rows: a cell for each header.
        width: in cells. Where it is narrow, a column without anything in it is left out.
        below: the column that is on lines of its own, indented, where it is narrow.
    """
    cells = [[ours(header, "bold") for header in headers], *rows]
    if width >= NARROW:
        return columns(cells, width=width)
    said = [i for i in range(len(headers)) if any(row[i].cell_len for row in cells[1:] or cells)]
    beside_it = [[row[i] for i in said if i != below] for row in cells]
    if below not in said:
        return columns(beside_it, width=width)
    lines: list[Text] = []
    for row, alone in zip(cells, _each(beside_it, width=width), strict=True):
        folded = fold(row[below], width - _HANGING) if row[below].plain else []
        lines += [*alone, *(ours(" " * _HANGING) + part for part in folded)]
    return lines


def columns(rows: Sequence[Sequence[Text]], *, width: int) -> list[Text]:
    """Rows of cells as lines, each column as wide as it needs to be and the widest ones folded."""
    return [line for row in _each(rows, width=width) for line in row]


def _each(rows: Sequence[Sequence[Text]], *, width: int) -> list[list[Text]]:
    """The lines of each row."""
    if not rows:
        return []
    in_columns = [[row[i] for row in rows] for i in range(len(rows[0]))]
    widths = _fitted(
        [max(cell.cell_len for cell in cells) for cells in in_columns],
        whole=[max(_word_len(cell.plain) for cell in cells) for cells in in_columns],
        parts=[max(_part_len(cell.plain) for cell in cells) for cells in in_columns],
        width=width,
    )
    lines: list[list[Text]] = []
    for row in rows:
        folded = [fold(cell, cells) for cell, cells in zip(row, widths, strict=True)]
        depths = range(max((len(cell) for cell in folded), default=0))
        parts = [[cell[i] if i < len(cell) else Text() for cell in folded] for i in depths]
        lines.append([_joined(part, widths) for part in parts])
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
    """Pieces of at most so many cells, whole words where that is possible.

    Nothing is left out but one blank where a piece ends.
    """
    plain = text.plain
    pieces: list[Text] = []
    start = 0
    while start < len(plain):
        end = _end_of_line(plain, start, cells)
        blank_in = start < end - 1 and end < len(plain) and plain[end - 1] == " "
        blank_after = not blank_in and plain[end : end + 1] == " "
        pieces.append(text[start : end - blank_in])
        start = end + blank_after
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
        elif _JOINT.match(plain, end):
            after_joint = end
    if end == len(plain) or (end > start and plain[end] == " "):
        return end
    return max(after_space or after_joint or end, start + 1)


def _word_len(plain: str) -> int:
    """Cells of the longest word; of one that is no name or code, as many as a name may have."""
    return min(max((cell_len(word) for word in plain.split(" ")), default=0), WORD_MAX)


def _part_len(plain: str) -> int:
    """Cells of the longest piece that a word has between its joints."""
    return max((_word_len(part) for part in _JOINT.split(plain)), default=0)


def _fitted(widths: list[int], *, whole: list[int], parts: list[int], width: int) -> list[int]:
    """Take from the widest until all fit: where no word is broken, then where its parts are whole.

    Where that is not enough either, down to a little.
    """
    room = width - GAP * (sum(1 for cells in widths if cells) - 1)
    fitted = list(widths)
    for leasts in (whole, parts, [0] * len(widths)):
        least = [max(cells, COLUMN_MIN) for cells in leasts]
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

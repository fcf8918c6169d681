"""The pages that are checked, and how they are read."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "policies").rglob("*.md"))
)

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE
)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: where it begins, what it says it is, and its text."""

    page: Path
    line: int
    kind: str
    text: str


def name_of(page: Path) -> str:
    """Its path in the checkout, for a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            kind=match["kind"].strip(),
            text=match["text"],
        )
        for match in _FENCE.finditer(text)
    ]


def sections(page: Path) -> dict[str, str]:
    """The text under each heading of the second level."""
    _, *parts = _HEADING.split(page.read_text(encoding="utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def shell_steps(page: Path, heading: str) -> str:
    """The commands under a heading of the second level: its one `sh` block."""
    (block,) = (m["text"] for m in _FENCE.finditer(sections(page)[heading]) if m["kind"] == "sh")
    return block

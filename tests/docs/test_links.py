"""What a page points to is there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, sections

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_STAGE = re.compile(r"^ +\d+ \w+ +((?:rpc|core|enforcer|policy)/\w+)", re.MULTILINE)
_PLACE = re.compile(r"^\| (`.+?) \|", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_into_the_checkout_leads_somewhere(page: Path):
    links = [x for x in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in x]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / x).resolve() for x in _LINK.findall(index.read_text("utf-8"))}
    pages = set((ROOT / "docs").rglob("*.md")) - {index}
    assert sorted(map(name_of, pages - linked)) == []


def test_the_map_names_modules_that_are_there():
    map_ = sections(ROOT / "docs" / "ARCHITECTURE.md")
    stages = _STAGE.findall(map_["The way of a call"])
    assert len(stages) > 10
    assert [stage for stage in stages if not _is_there(f"broker/{stage}")] == []
    cells = _PLACE.findall(map_["Where things live"])
    assert len(cells) > 10
    named = [re.findall(r"`([^`]+)`", cell) for cell in cells]
    # Several in one cell: those after the first stand beside it.
    places = [
        place if "/" in place else f"{Path(first).parent}/{place}"
        for first, *others in named
        for place in (first, *others)
    ]
    assert [place for place in places if not _is_there(place)] == []


def _is_there(place: str) -> bool:
    return (ROOT / place).exists() or (ROOT / f"{place}.py").is_file()

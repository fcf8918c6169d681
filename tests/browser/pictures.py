"""Pictures of pages, small enough to be kept beside the text that they belong to."""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

BYTES_MAX = 150_000
COLOURS = 256


def take_picture(page: Page, path: Path, *, whole: bool = False) -> int:
    """Write what the page shows now as a PNG of at most COLOURS colours; how many bytes it has.

    Args:
        page: what to picture; nothing in it should move.
        path: of the file; its folder is made.
        whole: the whole page, not only what is in view.

    Raises:
        AssertionError: it would have more than BYTES_MAX.
    """
    shot = page.screenshot(full_page=whole, animations="disabled", caret="hide", scale="css")
    with Image.open(io.BytesIO(shot)) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small = io.BytesIO()
    few.save(small, "PNG", optimize=True)
    assert small.tell() <= BYTES_MAX, f"{path.name} has {small.tell()} bytes"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small.getvalue())
    return small.tell()

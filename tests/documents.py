"""Documents for tests, written by hand: small, and each with what only a stranger would put in."""

import io
import zipfile
from collections.abc import Mapping, Sequence

WORD = "word/document.xml"
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def archive(members: Mapping[str, str | bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return made.getvalue()


def word(*runs: tuple[str, str], **more: str | bytes) -> bytes:
    """Of properties and text of each run."""
    body = "".join(
        f"<w:p><w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r></w:p>"
        for properties, text in runs
    )
    document = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    return archive({WORD: document, **{name.replace("__", "/"): c for name, c in more.items()}})


def pdf(*drawn: str, catalogue: str = "", info: str = "", pages: int = 1) -> bytes:
    """Of drawing operators; every page is the same."""
    stream = "\n".join(drawn).encode()
    kids = " ".join(f"{6 + number} 0 R" for number in range(pages))
    page = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R"
        " /Resources << /Font << /F1 4 0 R >> >> >>"
    )
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< {info} >>".encode(),
        *[page.encode()] * pages,
    ]
    return _numbered(objects, "/Root 1 0 R /Info 5 0 R")


def shown(text: str, *, size: float = 12, at: tuple[int, int] = (72, 700), before: str = "") -> str:
    """A line of text, drawn on its own."""
    return f"q BT {before} /F1 {size} Tf {at[0]} {at[1]} Td ({text}) Tj ET Q"


def _numbered(objects: Sequence[bytes], trailer: str) -> bytes:
    out = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    count = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    return out + b"trailer << /Size %d %s >>\nstartxref\n%d\n%%%%EOF" % (
        count,
        trailer.encode(),
        start,
    )

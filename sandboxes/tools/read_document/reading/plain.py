"""Text that is only text: notes, tables with commas, source, JSON."""

from reading.found import Found, Refused

_KINDS = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".xml": "application/xml",
}
_NUL_SHARE_MAX = 0.01
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def read(content: bytes, name: str) -> Found:
    """Read it."""
    suffix = f".{name.rpartition('.')[2]}"
    found = Found(_KINDS.get(suffix, "text/plain"))
    found.add(decoded(content))
    return found


def decoded(content: bytes) -> str:
    """The text of bytes: by their mark, else UTF-8, else Latin-1.

    Raises:
        Refused: it is no text.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if content.count(b"\0") > len(content) * _NUL_SHARE_MAX:
        raise Refused("DOCUMENT_UNSUPPORTED", "The document is of a kind that is not read.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")

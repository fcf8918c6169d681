"""What a document is, is told by its first bytes: its name is only believed between plain texts."""

import io
import zipfile

from reading import mail, markup, office, plain
from reading.found import Found, Refused

HEAD_BYTES = 4_096
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*", b"RIFF")
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body")
_HTML_NAMES = (".html", ".htm", ".xhtml")
_MAIL_STARTS = (b"from:", b"received:", b"return-path:", b"mime-version:", b"delivered-to:")


def read(content: bytes, name: str) -> Found:
    """Read a document.

    Args:
        content: all of it.
        name: of the file.

    Raises:
        Refused: it is of a kind that cannot be read, or breaks a bound.
    """
    head = content[:HEAD_BYTES]
    if b"%PDF-" in head[:1_024]:
        from reading import pdf  # noqa: PLC0415 - the only part that needs a package

        return pdf.read(content)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(content)
    if head.startswith(_OLE):
        raise Refused(
            "DOCUMENT_UNSUPPORTED",
            "The document is encrypted, or of an office format from before 2007.",
        )
    if head.startswith(_PICTURES):
        raise Refused("DOCUMENT_UNSUPPORTED", "The document is a picture; there is no text in it.")
    return _text(content, head, name.lower())


def _text(content: bytes, head: bytes, name: str) -> Found:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"{\\rtf"):
        raise Refused("DOCUMENT_UNSUPPORTED", "The document is rich text (RTF), which is not read.")
    if name.endswith(".eml") or start.startswith(_MAIL_STARTS):
        return mail.read(content)
    if name.endswith(_HTML_NAMES) or any(each in start for each in _HTML_STARTS):
        return markup.read(plain.decoded(content))
    return plain.read(content, name)


def _zipped(content: bytes) -> Found:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise Refused("DOCUMENT_BROKEN", "The document is a damaged archive.") from None
    return office.read(archive)

"""Mail as it was sent: from whom, what about, its texts, and the names of what is attached."""

import email.parser
import email.policy

from reading import markup
from reading.found import Found, cleaned

PARTS_MAX = 500
_HEADERS = ("from", "to", "cc", "date", "subject", "reply-to")
_HEADER_CHARACTERS_MAX = 2_000
_TEXT = "text/plain"
_HTML = "text/html"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from email.message import EmailMessage


def read(content: bytes) -> Found:
    """Read a mail."""
    found = Found("message/rfc822")
    mail: EmailMessage = email.parser.BytesParser(policy=email.policy.default).parsebytes(content)
    for name in _HEADERS:
        value = str(mail.get(name, ""))[:_HEADER_CHARACTERS_MAX]
        if value:
            found.add(f"{name.title()}: {' '.join(cleaned(value).split())}\n")
    found.name(str(mail.get("subject", "")))
    found.add("\n")
    for number, part in enumerate(mail.walk()):
        if number >= PARTS_MAX:
            found.is_cut = True
            break
        _part(part, found)
    return found


def _part(part: "EmailMessage", found: Found) -> None:
    if part.is_multipart():
        return
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment" or kind not in (_TEXT, _HTML):
        name = cleaned(str(part.get_filename() or "without a name"))[:100]
        found.note(f"attached, not read: {name!a} ({kind[:60]})")
        return
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    try:
        text = content.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = content.decode("utf-8", "replace")
    if kind == _HTML:
        found.add("\n")
        title = found.title
        markup.read(text, found)
        found.name(title)
    else:
        found.add(f"\n{text}\n")

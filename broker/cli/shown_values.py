"""One JSON value for people: exact, and never to be taken for another."""

import json
import re
from typing import Any, Final

from rich.text import Text

from broker.cli.screen import ours, shown_before
from broker.core.text import visible_value

MONEY: Final = re.compile(r"([A-Z]{3}) (-?[0-9]+(?:\.[0-9]+)?)")
# One word that can only be a name, number or address.
_PLAIN: Final = re.compile(r"[A-Za-z0-9@#+_.:/-]{1,80}")


def value(text: str, rendered: str = "") -> Text:
    """A value by its JSON: money as such, a bare word bare, any other text in its quotes."""
    if rendered:
        return shown_before(rendered)
    if not text:
        return ours("")
    parsed = _parsed(text)
    if isinstance(parsed, str) and _PLAIN.fullmatch(parsed) and not _is_json(parsed):
        return ours(parsed)
    return ours(visible_value(parsed))


def quoted(text: str) -> Text:
    """Somebody's words in quotation marks."""
    return ours(visible_value(text))


def _is_json(text: str) -> bool:
    """Whether a bare word would be read as a number, a truth or null."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

"""A look-up's URL has a constant origin, and a value cannot leave the place that it was put in.

Templates are RFC 6570's simple expansion, `{name}` and nothing more. In the path a value is one
segment or part of one: slashes, in whatever encoding, and segments of dots are refused rather than
encoded, because servers and proxies disagree on what they mean.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from broker.core.arguments import JsonValue

_TEMPLATE: Final = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?",
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_ENCODED_TRICK: Final = re.compile(r"%(?:2e|2f|5c|25|0[0-9a-f]|1[0-9a-f])", re.IGNORECASE)
_NEVER_IN_PATH: Final = re.compile(r"[/\\%]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlTemplate:
    """A parsed template.

    Attributes:
        origin: scheme, host and port, constant.
        path, query: with their `{name}`s; the query with its question mark.
    """

    origin: str
    path: str
    query: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template.

        Raises:
            ValueError: with what to do about it.
        """
        parts = _TEMPLATE.fullmatch(text)
        if parts is None:
            raise ValueError("write https://host/path; host constant, no user, no fragment")
        if parts["scheme"] == "http" and parts["host"].lower() not in _LOOPBACK:
            raise ValueError("use https: plain http is for loopback alone")
        path, query = parts["path"] or "/", parts["query"] or ""
        for name in _EXPRESSION.findall(path + query):
            if not _NAME.fullmatch(name):
                raise ValueError("use {name} alone: other expressions of RFC 6570 are not taken")
        literal = _EXPRESSION.sub("", path + query)
        if not _LITERAL.fullmatch(literal):
            raise ValueError("percent-encode what a URL has no place for, and close every brace")
        if _ENCODED_TRICK.search(_EXPRESSION.sub("", path)) or _is_tricky(path):
            raise ValueError("write the path without //, dot segments and encoded slashes")
        return cls(origin=parts["origin"].lower(), path=path, query=query)

    @property
    def names(self) -> frozenset[str]:
        """The parameters that the template takes."""
        return frozenset(_EXPRESSION.findall(self.path + self.query))

    def expand(self, values: Mapping[str, JsonValue]) -> str:
        """The URL for these values; a list becomes its elements with commas between (§3.2.2).

        Raises:
            ValueError: a value is absent, is no string, integer or boolean, or would change what
                the path means.
        """
        path = _EXPRESSION.sub(lambda m: _segment(values.get(m[1])), self.path)
        if _is_tricky(path):
            raise ValueError("A value would change the path.")
        query = _EXPRESSION.sub(lambda m: _encoded(values.get(m[1])), self.query)
        return f"{self.origin}{path}{query}"


def _segment(value: JsonValue) -> str:
    parts = value if isinstance(value, list) else [value]
    texts = [_text(part) for part in parts]
    if not texts or any(not text or _NEVER_IN_PATH.search(text) for text in texts):
        raise ValueError("A value would change the path.")
    return _encoded(value)


def _encoded(value: JsonValue) -> str:
    parts = value if isinstance(value, list) else [value]
    return ",".join(quote(_text(part), safe="", encoding="utf-8") for part in parts)


def _text(value: JsonValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() if not _CONTROL.search(value):
            return value
        case _:
            raise ValueError("A value has no place in a URL.")


def _is_tricky(path: str) -> bool:
    return "//" in path or any(segment in {".", ".."} for segment in path.split("/"))

"""The head of a tool's request: one grammar, read strictly, and nothing beside it (RFC 9112).

One request a connection: nothing can be smuggled behind another. A body has a Content-Length or
there is none; transfer codings, upgrades, tunnels, folded lines and bare line feeds are refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sandboxes.egress import targets
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.targets import Target

HEAD_BYTES_MAX = 32_768
FIELDS_MAX = 64
PASSING = frozenset(
    {
        "accept",
        "accept-language",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
        "user-agent",
    }
)
# What the proxy says itself, what concerns one hop, and what carries authority.
NEVER_PASSING = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
CREDENTIAL_HEADERS = frozenset({"authorization", "cookie"})  # never the tool's to say
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the name of RFC 9110 section 5.6.2
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/1\.1")
# Possessive in front, so that a line of blanks is gone through once.
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*+([!-~](?:[ \t!-~]*[!-~])?)?[ \t]*+")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,14}")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_NOT_SUPPORTED = ("transfer-encoding", "upgrade", "expect", "trailer", "te")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a tool asks.

    Attributes:
        fields: names in lower case.
        length_bytes: of the body.
    """

    method: str
    target: Target
    fields: tuple[tuple[str, str], ...]
    length_bytes: int

    def passing(self, extra: Iterable[str]) -> list[tuple[str, str]]:
        """The fields that go out: the usual ones, and what a rule names beside them."""
        may = PASSING | {name for name in extra if is_header_passable(name)}
        return [(name, value) for name, value in self.fields if name in may]


def is_header_passable(name: str) -> bool:
    """Whether a rule may let a field of this name pass."""
    hop = name in NEVER_PASSING or name.startswith(("proxy-", "sec-", "x-forwarded"))
    return not hop and _NAME.fullmatch(name) is not None


def method_and_target(head: bytes) -> tuple[str, str]:
    """The first line's words as far as they can be made out; for the record alone."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    return words[0], words[1] if len(words) > 1 else ""


def read(head: bytes) -> Head:
    r"""Read everything up to and with the empty line.

    Raises:
        EgressRefused: EGRESS_MALFORMED, EGRESS_UNSUPPORTED, EGRESS_TARGET_REFUSED.
    """
    try:
        first, *lines = head.removesuffix(b"\r\n\r\n").decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise _malformed("its head is not ASCII") from None
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise _malformed("its first line is not METHOD URL HTTP/1.1")
    if asked[1] == "CONNECT":
        raise _unsupported("tunnels")
    fields = _fields(lines)
    named = dict(fields)
    for name in _NOT_SUPPORTED:
        if name in named:
            raise _unsupported(name)
    if "upgrade" in named.get("connection", "").lower():
        raise _unsupported("upgrade")
    target = targets.read(asked[2])
    _check_host(named.get("host"), target)
    length = named.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise _malformed("its Content-Length is no number")
    return Head(method=asked[1], target=target, fields=fields, length_bytes=int(length))


def _fields(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found = [_FIELD.fullmatch(line) for line in lines]
    fields = tuple((field[1].lower(), field[2] or "") for field in found if field is not None)
    if len(fields) < len(found) or len(fields) > FIELDS_MAX:
        raise _malformed("a header field is no plain one, or there are too many")
    if len({name for name, _ in fields}) < len(fields):
        raise _malformed("it has a header field twice")
    return fields


def _check_host(said: str | None, target: Target) -> None:
    if said is None:
        raise _malformed("it has no Host")
    if targets.read_authority(said, target.scheme) != (target.host, target.port):
        raise _malformed("its Host is not the target's")


def _malformed(why: str) -> EgressRefused:
    return EgressRefused("EGRESS_MALFORMED", f"This is no plain request: {why}.", status=400)


def _unsupported(what: str) -> EgressRefused:
    return EgressRefused("EGRESS_UNSUPPORTED", f"The proxy has no {what}.", status=501)

"""A request's target is read once, strictly, and what goes out is written anew from what was read.

Rules compare the decoded parts, and `Target.url` spells exactly these: no byte of the tool's own
spelling leaves the node. A target that two readers could read apart (RFC 3986 section 6, WHATWG
URL) is refused: user info, fragments, back slashes, `;`, empty and dot segments, escapes within
escapes, escaped slashes, text that Unicode normalisation changes, addresses in any spelling.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sandboxes.egress.refusals import EgressRefused

TARGET_CHARACTERS_MAX = 8192
HOST_CHARACTERS_MAX = 253
PORTS = {"https": 443, "http": 80}
_TARGET = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
_AUTHORITY = re.compile(r"([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?")
_PRINTED = re.compile(r"[!-~]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # ends a host that somebody reads as an address
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_NOT_IN_SEGMENTS = frozenset("/\\%;?#")
_SAFE_IN_SEGMENTS = "-._~!$&'()*+,=:@"
_SAFE_IN_QUERIES = "-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes.

    Attributes:
        host: lower case, labels of letters, digits and hyphens.
        segments: of the path, decoded; ("",) for "/".
        query: names and values, decoded, no name twice.
    """

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """As it is sent, without the query."""
        return "/" + "/".join(quote(each, safe=_SAFE_IN_SEGMENTS) for each in self.segments)

    @property
    def authority(self) -> str:
        """Host, and the port where it is not the scheme's own."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As it is sent."""
        pairs = "&".join(f"{_in_query(name)}={_in_query(value)}" for name, value in self.query)
        return f"{self.scheme}://{self.authority}{self.path}" + (f"?{pairs}" if pairs else "")


def read(text: str) -> Target:
    """Read the target of a request in absolute form.

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED.
    """
    if len(text) > TARGET_CHARACTERS_MAX or not _PRINTED.fullmatch(text):
        raise _refused("has characters that a target has not, or too many")
    parts = _TARGET.fullmatch(text)
    if parts is None:
        raise _refused("is no whole URL of http or https, or has a fragment")
    scheme, authority, path, query = parts.groups()
    host, port = read_authority(authority, scheme)
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        segments=read_segments(path or "/"),
        query=() if query is None else _read_query(query),
    )


def read_authority(text: str, scheme: str) -> tuple[str, int]:
    """Host and port; the scheme's own where none is named.

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED.
    """
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise _refused("names no plain host: user info, escapes and addresses are not read")
    port = int(parts[2]) if parts[2] else PORTS[scheme]
    if port > 65_535:  # noqa: PLR2004 - the last there is
        raise _refused("names a port that there is not")
    return read_host(parts[1]), port


def read_host(text: str) -> str:
    """A host's name in lower case.

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED; addresses too.
    """
    host = text.lower()
    labels = host.split(".")
    if len(host) > HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise _refused("names no plain host: labels of letters, digits and hyphens")
    if _NUMBER.fullmatch(labels[-1]):
        raise _refused("names an address; name the host")
    return host


def is_label(text: str) -> bool:
    """Whether it can be one label of a host's name, as it stands."""
    return _LABEL.fullmatch(text) is not None


def read_segments(path: str) -> tuple[str, ...]:
    """The decoded segments of a path that begins with "/".

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED.
    """
    segments = tuple(decode(each) for each in path[1:].split("/"))
    check_segments(segments)
    return segments


def check_segments(segments: Sequence[str]) -> None:
    """Refuse decoded segments that a server could read as others.

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED.
    """
    if not all(segments[:-1]):
        raise _refused("has an empty segment in its path")
    for segment in segments:
        if segment in {".", ".."} or not _NOT_IN_SEGMENTS.isdisjoint(segment):
            raise _refused(r"has a dot segment, or one of / \ % ; ? # within a segment")
        if unicodedata.normalize("NFKC", segment) != segment:
            raise _refused("has characters in its path that normalisation changes")


def decode(text: str) -> str:
    """What a part says once its escapes are taken out, one level of them.

    Raises:
        EgressRefused: EGRESS_TARGET_REFUSED: a broken escape, no UTF-8, or a control character.
    """
    if "%" in _ESCAPE.sub("", text):
        raise _refused("has a broken escape")
    try:
        decoded = _ESCAPE.sub(lambda found: chr(int(found[0][1:], 16)), text).encode("latin-1")
        said = decoded.decode("utf-8")
    except UnicodeError:
        raise _refused("has escapes that are no UTF-8") from None
    if any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in said):
        raise _refused("has an escaped control character")
    return said


def _read_query(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        if not name or not equals or ";" in pair:
            raise _refused("has a query that is not name=value&name=value")
        pairs.append((decode(name.replace("+", " ")), decode(value.replace("+", " "))))
    if len({name for name, _ in pairs}) < len(pairs):
        raise _refused("names a parameter twice")
    return tuple(pairs)


def _in_query(text: str) -> str:
    return quote(text, safe=_SAFE_IN_QUERIES)


def _refused(what: str) -> EgressRefused:
    return EgressRefused("EGRESS_TARGET_REFUSED", f"The target {what}.", status=400)

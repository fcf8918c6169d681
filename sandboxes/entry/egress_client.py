"""How a tool asks for something outside: through the proxy's socket, and there is no other way.

Needs the standard library alone, Python 3.9 or newer; it is copied into every image. What may be
asked is the profile's to say; what is refused raises with the proxy's own code, and a tool that
does not catch that has failed with it.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Optional
from urllib.parse import quote

from sandboxes.entry.callbroker_tool import ToolFailed

SOCKET_PATH = "/callbroker/egress/proxy.sock"
_REFUSAL_FIELD = "Callbroker-Refused"
_SAFE = "%:/?#[]@!$&'()*+,;=~"


class EgressRefused(ToolFailed):
    """The request did not pass, or its answer was cut.

    Attributes:
        code: UPPER_SNAKE, such as EGRESS_NOT_LISTED; `message` is one sentence.
    """


@dataclass(frozen=True)
class Answer:
    """What the host answered.

    Attributes:
        status: of HTTP; a redirect is not followed: ask for its Location, if that may be asked.
        headers: names in lower case; of those that came twice, joined by ", ".
        body: as it came; nothing was decoded.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection(http.client.HTTPConnection):
    """Over the proxy's socket."""

    def __init__(self, host: str, path: str, timeout_s: float) -> None:
        super().__init__(host, timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fetch(
    url: str,
    method: str = "GET",
    headers: Optional[Mapping[str, str]] = None,  # noqa: UP045 - Python 3.9 reads this too
    body: bytes = b"",
    timeout_s: float = 10.0,
    *,
    socket_path: str = SOCKET_PATH,
) -> Answer:
    """Make one request.

    Args:
        url: whole, of https or http; what must be escaped in it and is not, is.
        method: upper case.
        headers: beside those that are always there; only some pass.
        body: sent with its length.
        timeout_s: of each wait for the proxy.
        socket_path: of the proxy.

    Raises:
        EgressRefused: the proxy said no (its code), there is none (EGRESS_NONE), it did not answer
            in time (EGRESS_TOO_LATE), or the answer was cut (EGRESS_CUT).
    """
    spelled = quote(url, safe=_SAFE)
    fields = {name: said for name, said in (headers or {}).items() if name.lower() != "host"}
    fields["Host"] = spelled.partition("://")[2].partition("/")[0].partition("?")[0]
    connection = _Connection("-", socket_path, timeout_s)
    try:
        _send(connection, method, spelled, fields, body)
        response = connection.getresponse()
        content = response.read()
    except (FileNotFoundError, PermissionError):
        raise EgressRefused("EGRESS_NONE", "This profile has no way out.") from None
    except socket.timeout:  # noqa: UP041 - Python 3.9 has no other name for it
        raise EgressRefused("EGRESS_TOO_LATE", "The proxy did not answer in time.") from None
    except (OSError, http.client.HTTPException):
        raise EgressRefused("EGRESS_CUT", "The proxy cut the request short.") from None
    finally:
        connection.close()
    code = response.getheader(_REFUSAL_FIELD)
    if code:  # an answer to HEAD has no body to say why
        raise EgressRefused(code, json.loads(content)["message"] if content else "Refused.")
    return Answer(response.status, _joined(response), content)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    fields: Mapping[str, str],
    body: bytes,
) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # refused early; the answer says why
        connection.request(method, url, body or None, dict(fields))


def _joined(response: http.client.HTTPResponse) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for name, value in response.getheaders():
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined

"""One request goes out once, to an address that was checked, under the name that was asked for.

The connection is made to what was checked and to nothing else: names are not looked up again, not
for a second try either. TLS checks the certificate against the name. No redirect is followed, no
cookie is kept, no proxy of the environment is used and nothing is decompressed.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sandboxes.egress.addresses import Address
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.targets import Target

PIECE_BYTES = 65_536
HEADER_BYTES_MAX = 32_768
# Of one hop, or the proxy's own to say; cookies are authority that nobody gave to the tool.
_DROPPED = frozenset(
    {
        "alt-svc",
        "callbroker-refused",
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "set-cookie",
        "set-cookie2",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What goes out.

    Attributes:
        addresses: checked ones, tried in this order.
        fields: of the head, as they are to be sent.
    """

    method: str
    target: Target
    addresses: Sequence[Address]
    fields: Sequence[tuple[str, str]]
    body: bytes


class _Pinned(AbstractResolver):
    """Gives the checked addresses, once: a client that tries again finds none."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._left = tuple(addresses)
        self.was_asked_again = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        left, self._left = self._left, ()
        if not left:
            self.was_asked_again = True
            raise OSError("one request is sent once")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in left
        ]

    async def close(self) -> None:
        self._left = ()


@asynccontextmanager
async def asking(
    asked: Asked, *, tls: ssl.SSLContext, on_address: Callable[[str], None]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send it; the answer's head has come, its body is still to be read. The caller has a deadline.

    Args:
        asked: what goes out.
        tls: whom to trust.
        on_address: is told each address right before it is connected to.

    Raises:
        EgressRefused: EGRESS_UNREACHABLE, EGRESS_ANSWER_BROKEN, within the block too.
    """

    def opened(info: tuple[object, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        on_address(str(address[0]))  # type: ignore[index]
        return socket.socket(family, kind, protocol)  # type: ignore[arg-type]

    pinned = _Pinned(asked.addresses)
    connector = aiohttp.TCPConnector(
        resolver=pinned,
        use_dns_cache=False,
        force_close=True,
        happy_eyeballs_delay=None,
        ssl=tls,
        socket_factory=opened,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        read_bufsize=PIECE_BYTES,
    ) as session:
        try:
            async with session.request(
                asked.method,
                URL(asked.target.url, encoded=True),
                headers=[*asked.fields, ("Accept-Encoding", "identity"), *_length(asked)],
                data=_pieces(asked.body) if asked.body else None,
                allow_redirects=False,
            ) as response:
                yield response
        except aiohttp.ClientConnectorCertificateError:
            raise _unreachable("its certificate is not trusted for this name") from None
        except aiohttp.ClientConnectorError:
            if pinned.was_asked_again:  # the connection had been made, and ended without an answer
                raise _broken() from None
            raise _unreachable("nobody took the connection") from None
        except aiohttp.ClientError:
            raise _broken() from None


def passing_fields(response: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    """The fields of an answer that the tool may see.

    Raises:
        EgressRefused: EGRESS_ANSWER_BROKEN: they are too long.
    """
    dropped = _DROPPED | {
        name.strip().lower() for name in response.headers.get("Connection", "").split(",")
    }
    fields = [
        (raw.decode("latin-1"), value.decode("latin-1"))
        for raw, value in response.raw_headers
        if raw.decode("latin-1").lower() not in dropped
    ]
    if sum(len(name) + len(value) for name, value in fields) > HEADER_BYTES_MAX:
        raise EgressRefused("EGRESS_ANSWER_BROKEN", "The answer's head is too long.", status=502)
    return fields


def _length(asked: Asked) -> list[tuple[str, str]]:
    is_said = asked.body or asked.method in {"POST", "PUT", "PATCH"}
    return [("Content-Length", str(len(asked.body)))] if is_said else []


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _broken() -> EgressRefused:
    return EgressRefused(
        "EGRESS_ANSWER_BROKEN", "The host gave no whole answer of HTTP.", status=502
    )


def _unreachable(why: str) -> EgressRefused:
    return EgressRefused("EGRESS_UNREACHABLE", f"The host was not reached: {why}.", status=502)

"""A webhook goes to an address that may be spoken to, and to exactly the one that was looked at.

A name is resolved here, once for each message, every address is judged, and the connection is made
to one that passed: a name that answers otherwise a moment later (DNS rebinding) gains nothing. Not
spoken to is what is inside: this machine, private networks, other addresses that are no public
ones; link-local ones, where clouds keep credentials, never. Addresses that carry another one within
(IPv4-mapped, NAT64, 6to4, Teredo) are judged by that.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from broker.core.addresses import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class DestinationRefused(Exception):
    """Nothing there may be spoken to, or the name is not known; the text is ours."""


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system knows them.

    Raises:
        OSError: it does not.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses_of(
    host: str,
    port: int,
    *,
    allow_private: bool,
    resolve: Resolve = resolve_by_system,
) -> tuple[str, ...]:
    """Where a host can be spoken to. Has no deadline of its own.

    Args:
        host: a name or an address; `localhost` and loopback addresses mean this machine.
        port: of it.
        allow_private: whether it may be within a private network.
        resolve: looks a name up.

    Raises:
        DestinationRefused: nowhere.
    """
    bare = host.removeprefix("[").removesuffix("]")
    try:
        found = [str(ipaddress.ip_address(bare))]
    except ValueError:
        try:
            found = list(await resolve(bare, port))
        except (OSError, UnicodeError):
            raise DestinationRefused("the name is not known") from None
    is_here = is_loopback(host)
    passed = tuple(
        one for one in found if not refusal(one, is_here=is_here, allow_private=allow_private)
    )
    if not passed:
        raise DestinationRefused(
            refusal(found[0], is_here=is_here, allow_private=allow_private)
            if found
            else "the name has no address"
        )
    return passed


def refusal(text: str, *, is_here: bool, allow_private: bool) -> str:
    """Why an address is not spoken to; empty where it may be.

    Args:
        text: an address.
        is_here: whether the settings say that it is this machine.
        allow_private: whether it may be within a private network.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "it is no address"
    for one in _within(address):
        if one.is_link_local or one.is_multicast or one.is_unspecified:
            return f"{text} is link-local, multicast or nobody's"
        if one.is_loopback and not is_here:
            return f"{text} is this machine, which the URL does not say"
        if is_here and not one.is_loopback:
            return f"{text} is not this machine, which the URL says"
        if not one.is_global and not one.is_loopback and not allow_private:
            return f"{text} is not public: say allow_private, if it is meant"
    return ""


def _within(address: Address) -> Iterator[Address]:
    """What must pass: the address in another one in its stead, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    inner = [one for one in carried if one is not None]
    yield from inner or [address]

"""A name is looked up once; all its addresses must be public, and only these are connected to.

One private address among public ones refuses the name: an honest name does not answer so, and who
rebinds names does. What embeds an IPv4 address in an IPv6 one is refused whole, not taken apart.
Blocks: IANA's special-purpose registries (RFC 6890 and its updates).
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence

from sandboxes.egress.refusals import EgressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Block = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED_4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers, and inside of clouds
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        # Public by number, inside of a cloud by use.
        "168.63.129.16/32",  # platform service of Azure
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")  # nothing else is global unicast
_REFUSED_6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments; Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address within
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# What no exception opens: nobody's service is there, or the machine's own secrets are.
NEVER = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # metadata of most clouds
        "100.100.100.200/32",  # of another
        "fd00:ec2::254/128",  # of one, by IPv6
        "224.0.0.0/3",
        "::/128",
        "::ffff:0:0/96",  # IPv4 addresses in disguise
        "64:ff9b::/96",
        "fe80::/10",
        "ff00::/8",
    )
)


def judge(
    found: Iterable[str], *, exceptions: Sequence[Block], is_own: Callable[[Address], bool]
) -> tuple[Address, ...]:
    """The addresses to connect to: all that were found, or none.

    Args:
        found: as the resolver said.
        exceptions: blocks that are allowed although they are private or the node's own.
        is_own: whether an address is the node's own.

    Raises:
        EgressRefused: EGRESS_NAME_UNKNOWN where none was found, EGRESS_ADDRESS_REFUSED.
    """
    addresses = tuple(dict.fromkeys(map(_parsed, found)))
    if not addresses:
        raise EgressRefused("EGRESS_NAME_UNKNOWN", "The host has no address.", status=502)
    for address in addresses:
        excepted = any(address in block for block in exceptions)
        if is_never(address) or not (excepted or (is_public(address) and not is_own(address))):
            raise _refused()
    return addresses


def is_public(address: Address) -> bool:
    """Whether it is anybody's on the internet, and embeds no other address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _REFUSED_4)
    return address in _GLOBAL_6 and not any(address in block for block in _REFUSED_6)


def is_never(address: Address) -> bool:
    """Whether no exception opens it."""
    return any(address in block for block in NEVER)


def blocks(texts: Iterable[str]) -> tuple[Block, ...]:
    """CIDR blocks.

    Raises:
        ValueError: one is none, or has bits set beyond its prefix.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_own_address(address: Address) -> bool:
    """Whether it is one of this machine's: the kernel then answers it from itself.

    Nothing is sent: connecting a datagram socket only asks the kernel for a route.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((str(address), 9))
        except OSError:
            return False  # no way there, from here
        source = ipaddress.ip_address(asking.getsockname()[0].partition("%")[0])
    return source == address or source.is_loopback


def _parsed(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)  # one with a zone ("%eth0") is link-local: refused below
    except ValueError:
        raise _refused() from None


def _refused() -> EgressRefused:
    return EgressRefused(
        "EGRESS_ADDRESS_REFUSED", "The host's addresses are not all public: none of them is used."
    )

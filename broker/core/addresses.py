"""Which hosts are surely this machine: all that may be spoken to in the clear."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is surely this machine: a loopback address, or `localhost` (RFC 6761)."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


def listens_here_alone(address: str) -> bool:
    """Whether `host:port` can be reached from this machine alone."""
    return is_loopback(address.rpartition(":")[0])

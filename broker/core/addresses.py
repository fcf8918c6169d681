"""Which hosts are surely this machine: all that may be spoken to in the clear."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host is surely this machine: a loopback address, or `localhost` (RFC 6761)."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


def is_https_or_here(url: str) -> bool:
    """Whether nobody reads along at a URL: HTTPS, or plain HTTP to this very machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False  # no URL, so that nobody is at it
    return (
        bool(host)
        and port != 0
        and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
    )


def listens_here_alone(address: str) -> bool:
    """Whether `host:port` can be reached from this machine alone."""
    return is_loopback(address.rpartition(":")[0])

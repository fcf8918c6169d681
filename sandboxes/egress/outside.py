"""What the gates of a node share: credentials, trust in certificates, names, and the time."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from sandboxes.egress.addresses import Address, is_own_address
from sandboxes.egress.credentials import Credential

LOOKUPS_AT_ONCE: Final = 64  # eight a run at most


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses of `host`, as text, in the order of preference.

        Raises:
            OSError: there is no such name, or nobody said so.
        """
        ...


class SystemResolver:
    """Asks as the node itself is configured to.

    Names that do not answer hold threads of their own: they hold up nothing but other names.
    """

    def __init__(self) -> None:
        """Keep the threads ready."""
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="names")

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses, by `getaddrinfo`; the caller bounds the wait."""
        loop = asyncio.get_running_loop()
        asking = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await loop.run_in_executor(self._threads, asking)
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def trusting(certificates: Path | None = None) -> ssl.SSLContext:
    """The system's trust store, and beside it the authorities of a PEM file."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificates is not None:
        context.load_verify_locations(certificates)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """One a node.

    Attributes:
        now: seconds since the epoch.
        credentials: by name.
        tls: for connections out; `trusting` makes it.
        is_own: whether an address is this machine's.
    """

    now: Callable[[], float]
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    tls: ssl.SSLContext = field(default_factory=trusting)
    resolver: Resolver = field(default_factory=SystemResolver)
    is_own: Callable[[Address], bool] = is_own_address

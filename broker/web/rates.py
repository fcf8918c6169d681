"""Signing in is slow for whoever guesses: so many tries from one address, so many in all.

Tries are counted in windows, in memory. Addresses are those of connections and never what a header
says; behind a proxy all are the proxy's, and its own limit is to tell browsers apart. Of IPv6 the
first 64 bits count: whoever has one such address has all of them.
"""

import ipaddress
from typing import Final

WINDOW_S: Final = 60.0
EACH_MAX: Final = 120
ALL_MAX: Final = 600


class Rates:
    """Counts tries."""

    def __init__(
        self,
        *,
        window_s: float = WINDOW_S,
        each_max: int = EACH_MAX,
        all_max: int = ALL_MAX,
    ) -> None:
        """Make one.

        Args:
            window_s: length of a window, seconds.
            each_max: tries from one address in a window.
            all_max: tries in a window; it bounds how many addresses are remembered, too.
        """
        self._window_s = window_s
        self._each_max = each_max
        self._all_max = all_max
        self._ends_at = 0.0
        self._all = 0
        self._of: dict[str, int] = {}

    def wait_s(self, peer: str, *, now: float) -> float:
        """Count a try; returns seconds until the next one is taken, 0 where this one is."""
        if not 0 <= self._ends_at - now <= self._window_s:
            self._ends_at, self._all = now + self._window_s, 0
            self._of.clear()
        network = _network(peer)
        tried = self._of.get(network, 0)
        if tried >= self._each_max or self._all >= self._all_max:
            return max(self._ends_at - now, 1.0)
        self._of[network] = tried + 1
        self._all += 1
        return 0.0


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4:  # noqa: PLR2004 - IPv4
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))

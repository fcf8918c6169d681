"""What one run may ask for in all: requests, bytes each way, and bytes a second.

A share is taken before the bytes move, so that requests side by side never pass a cap together.
"""

from sandboxes.egress.refusals import EgressRefused
from sandboxes.profile import Egress

BURST_S = 0.25


class Budget:
    """What is left to one run."""

    def __init__(self, egress: Egress) -> None:
        """All of it."""
        self.requests = egress.requests_max
        self.sent_bytes = egress.sent_bytes_max
        self.received_bytes = egress.received_bytes_max
        self._bytes_per_s = egress.bytes_per_s
        self._free_at_s = float("-inf")

    def take_request(self) -> None:
        """One request, whatever becomes of it.

        Raises:
            EgressRefused: EGRESS_TOO_MANY.
        """
        if self.requests == 0:
            raise EgressRefused(
                "EGRESS_TOO_MANY", "This run has made all the requests that it may.", status=429
            )
        self.requests -= 1

    def take_sent(self, size: int) -> None:
        """Bytes that are to go out.

        Raises:
            EgressRefused: EGRESS_SENT_TOO_MUCH; nothing is taken.
        """
        if size > self.sent_bytes:
            raise EgressRefused(
                "EGRESS_SENT_TOO_MUCH", "This run may not send as much as that.", status=413
            )
        self.sent_bytes -= size

    def require_received(self, size: int) -> None:
        """Whether so many bytes may still come.

        Raises:
            EgressRefused: EGRESS_RECEIVED_TOO_MUCH.
        """
        if size > self.received_bytes:
            raise EgressRefused(
                "EGRESS_RECEIVED_TOO_MUCH", "This run may not receive as much as that.", status=502
            )

    def take_received(self, size: int) -> None:
        """Bytes that have come.

        Raises:
            EgressRefused: EGRESS_RECEIVED_TOO_MUCH.
        """
        self.require_received(size)
        self.received_bytes -= size

    def wait_s(self, size: int, now_s: float) -> float:
        """How long to wait before these bytes pass, either way.

        Args:
            size: of the piece.
            now_s: of any clock that only moves forward.
        """
        start = max(self._free_at_s, now_s - BURST_S)
        self._free_at_s = start + size / self._bytes_per_s
        return max(self._free_at_s - now_s, 0.0)

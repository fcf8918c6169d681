"""One credential has so many streams open and no more: whoever hoards them takes only its own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from broker.core.errors import LimitExceeded, retry_after


class Streams:
    """Counts what is open, by credential. For one event loop."""

    def __init__(self, *, most: int) -> None:
        """Make one; each may have `most`."""
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, credential: str) -> Iterator[None]:
        """Have one open while the block runs.

        Raises:
            LimitExceeded: it has as many as it may.
        """
        if self._open[credential] >= self._most:
            raise LimitExceeded(
                f"A credential has at most {self._most} streams open.",
                metadata=retry_after(),
            )
        self._open[credential] += 1
        try:
            yield
        finally:
            self._open[credential] -= 1
            if not self._open[credential]:
                del self._open[credential]

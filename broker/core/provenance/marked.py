"""All that is marked, untrusted or sensitive, in one long folded text that is searched quickly."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

from broker.core.provenance.blocks import GRAM, LONG_BYTES_MIN, STEP, Blocks
from broker.core.provenance.effort import Effort

PIECE: Final = GRAM + 2 * STEP
"""Folded bytes of a longer text that give it away inside of another. A common run of `PIECE` and
three more is always found, wherever it begins."""
INDEXED_BYTES_MIN: Final = LONG_BYTES_MIN
TOLD_MAX: Final = 16
"""How many of those that share something are told, the first ones."""
_LOOKED_UP_MAX: Final = 64
_START_BYTES: Final = 40  # that one start takes
_END: Final = b"\n"  # no folded text has one


class Marked:
    """Folded texts by the number in which they came, from 0."""

    def __init__(self) -> None:
        """Nothing is marked yet."""
        self._blocks = Blocks()
        self._starts: list[int] = []

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self._blocks.size + _START_BYTES * len(self._starts)

    def add(self, folded: bytes) -> None:
        """Add the next."""
        self._starts.append(len(self._blocks.text))
        self._blocks.add(folded + _END)

    def holders(self, needle: bytes, effort: Effort) -> Iterator[int]:
        """The numbers of those that have all of this, rising, as far as the effort goes."""
        if not needle:
            return
        starts, where = self._starts, self._blocks.where(needle)
        at = self._blocks.find(needle, where, effort)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            yield number
            if number + 1 == len(starts):
                return
            at = self._blocks.find(needle, where, effort, starts[number + 1])

    def sharers(self, needle: bytes, effort: Effort) -> tuple[set[int], bool]:
        """The numbers of those that have this, or a long piece of it; and whether that is sure.

        The first `TOLD_MAX` are among them. Not sure: so much of it looked alike, or there was so
        little effort left, that it was not looked up to the end.
        """
        if len(needle) < PIECE + STEP:
            return set(islice(self.holders(needle, effort), TOLD_MAX)), not effort.is_spent
        found: set[int] = set()
        looked_up, past = 0, 0
        for offset in self._blocks.likely(needle, effort):
            if offset < past:
                continue
            if looked_up == _LOOKED_UP_MAX or effort.is_spent:
                return found, False
            looked_up += 1
            at = self._add_holders(needle[offset : offset + PIECE], found, effort)
            if at >= 0:
                past = offset + self._common(needle, offset, at) - PIECE + 1
        return found, not effort.is_spent

    def _add_holders(self, piece: bytes, found: set[int], effort: Effort) -> int:
        """Add the numbers of the first that have it: the first of all pieces are among those.

        Returns:
            Where it stands first; -1 where it does not.
        """
        first = next(holding := self.holders(piece, effort), None)
        if first is None:
            return -1
        found.update((first, *islice(holding, TOLD_MAX - 1)))
        return self._blocks.text.find(piece, self._starts[first])

    def _common(self, needle: bytes, offset: int, at: int) -> int:
        """How much of the needle from here on stands at a place of the whole."""
        text = self._blocks.text
        low, high = PIECE, min(len(needle) - offset, len(text) - at)
        while low < high:
            middle = (low + high + 1) // 2
            if text.startswith(needle[offset : offset + middle], at):
                low = middle
            else:
                high = middle - 1
        return low

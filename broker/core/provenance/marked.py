"""All that is marked, untrusted or sensitive, in one long folded text that is searched quickly."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from broker.core.provenance.blocks import GRAM, LONG_BYTES_MIN, STEP, Blocks

PIECE: Final = GRAM + 2 * STEP
"""Folded bytes of a longer text that give it away inside of another. A common run of `PIECE` and
three more is always found, wherever it begins."""
INDEXED_BYTES_MIN: Final = LONG_BYTES_MIN
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

    def holders(self, needle: bytes) -> Iterator[int]:
        """The numbers of those that have all of this, rising."""
        for number, _ in self._held(needle):
            yield number

    def sharers(self, needle: bytes) -> tuple[set[int], bool]:
        """The numbers of those that have this, or a long piece of it; and whether that is all.

        Not all: so much of it looked alike that it was not looked up to the end.
        """
        if len(needle) < PIECE + STEP:
            return {number for number, _ in self._held(needle)}, True
        found: set[int] = set()
        looked_up, past = 0, 0
        for offset in self._blocks.likely(needle):
            if offset < past:
                continue
            if looked_up == _LOOKED_UP_MAX:
                return found, False
            looked_up += 1
            held = list(self._held(needle[offset : offset + PIECE]))
            if held:
                found.update(number for number, _ in held)
                past = offset + self._common(needle, offset, held[0][1]) - PIECE + 1
        return found, True

    def _held(self, needle: bytes) -> Iterator[tuple[int, int]]:
        """The number of each that has all of this, rising, and where that stands there first."""
        if not needle:
            return
        starts, where = self._starts, self._blocks.where(needle)
        at = self._blocks.find(needle, where)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            yield number, at
            if number + 1 == len(starts):
                return
            at = self._blocks.find(needle, where, starts[number + 1])

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

"""All that is marked, untrusted or sensitive, in one long folded text that is searched quickly.

Of every fourth place eight bytes are written down, in two slots of one table, so that most of what
is not there is known not to be there without reading megabytes. Whatever looks as if it were there
is then looked up.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

PIECE: Final = 16
"""Folded bytes of a longer text that give it away inside of another. A common run of `PIECE` and
three more is always found, wherever it begins."""
_GRAM: Final = 8
_STEP: Final = 4
INDEXED_BYTES_MIN: Final = _GRAM + _STEP - 1
_SLOTS: Final = (4_093, 65_521, 262_139, 1_048_573, 2_097_143, 4_194_301, 16_777_213)  # primes
_FILLED: Final = 16  # slots for each that is written down, at least, while there are larger tables
_LOOKED_UP_MAX: Final = 64
_END: Final = b"\n"  # no folded text has one
_ORDER: Final = sys.byteorder


class Marked:
    """Folded texts by the number in which they came, from 0."""

    def __init__(self) -> None:
        """Nothing is marked yet."""
        self._all = bytearray()
        self._starts: list[int] = []
        self._slots = bytearray(_SLOTS[0])

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self._all) + len(self._slots) + 40 * len(self._starts)

    def add(self, folded: bytes) -> None:
        """Add the next."""
        start = len(self._all)
        self._starts.append(start)
        self._all += folded + _END
        wanted = _slots_for(len(self._all))
        if wanted > len(self._slots):
            self._slots = bytearray(wanted)
            start = 0
        self._write_down(start)

    def holders(self, needle: bytes) -> Iterator[int]:
        """The numbers of those that have all of this, rising."""
        if not needle or (len(needle) >= INDEXED_BYTES_MIN and not self._may_have(needle)):
            return
        at = self._all.find(needle)
        while at >= 0:
            number = bisect_right(self._starts, at) - 1
            yield number
            if number + 1 == len(self._starts):
                return
            at = self._all.find(needle, self._starts[number + 1])

    def sharers(self, needle: bytes) -> tuple[set[int], bool]:
        """The numbers of those that have this, or a long piece of it; and whether that is all.

        Not all: so much of it looked alike that it was not looked up to the end.
        """
        if len(needle) < PIECE + _STEP:
            return set(self.holders(needle)), True
        found: set[int] = set()
        hits = self._hits(needle)
        looked_up, offset, last = 0, hits.find(1), len(needle) - PIECE
        while 0 <= offset <= last:
            if not (hits[offset + _STEP] and hits[offset + 2 * _STEP]):
                offset = hits.find(1, offset + 1)
                continue
            if looked_up == _LOOKED_UP_MAX:
                return found, False
            looked_up += 1
            piece = needle[offset : offset + PIECE]
            holders = list(self.holders(piece))
            found.update(holders)
            past = self._common(needle, offset) - PIECE + 1 if holders else 1
            offset = hits.find(1, offset + past)
        return found, True

    def _write_down(self, start: int) -> None:
        slots, count = self._slots, len(self._slots)
        for shift in (0, _STEP):
            begin = start // _GRAM * _GRAM + shift
            end = begin + (len(self._all) - begin) // _GRAM * _GRAM
            if end <= begin:
                continue
            for gram in memoryview(bytes(self._all[begin:end])).cast("Q"):
                slots[gram % count] = slots[gram % (count - 2)] = 1

    def _has(self, needle: bytes, offset: int) -> bool:
        gram = int.from_bytes(needle[offset : offset + _GRAM], _ORDER)
        slots, count = self._slots, len(self._slots)
        return bool(slots[gram % count] and slots[gram % (count - 2)])

    def _may_have(self, needle: bytes) -> bool:
        last = len(needle) - _GRAM
        return any(
            all(self._has(needle, offset) for offset in range(first, last + 1, _STEP))
            for first in range(min(_STEP, last + 1))
        )

    def _hits(self, needle: bytes) -> bytearray:
        """For each offset, whether the bytes that begin there are written down."""
        slots, count = self._slots, len(self._slots)
        hits = bytearray(len(needle) - _GRAM + 1)
        for shift in range(min(_GRAM, len(hits))):
            end = shift + (len(needle) - shift) // _GRAM * _GRAM
            grams = memoryview(needle[shift:end]).cast("Q")
            hits[shift::_GRAM] = bytes(
                [slots[gram % count] and slots[gram % (count - 2)] for gram in grams]
            )
        return hits

    def _common(self, needle: bytes, offset: int) -> int:
        """How much of the needle from here on stands where its first piece stands first."""
        at = self._all.find(needle[offset : offset + PIECE])
        low, high = PIECE, min(len(needle) - offset, len(self._all) - at)
        while low < high:
            middle = (low + high + 1) // 2
            if self._all[at : at + middle] == needle[offset : offset + middle]:
                low = middle
            else:
                high = middle - 1
        return low


def _slots_for(size: int) -> int:
    wanted = size // _STEP * _FILLED
    return next((count for count in _SLOTS if count >= wanted), _SLOTS[-1])

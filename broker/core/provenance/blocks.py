"""A growing text in blocks, so that what stands in a few of them is found without reading all.

Of four bytes at every second place, and of eight at every fourth, it is written down in which
blocks they stand. Only a block that has all the first ones of what is looked for may have that: it
is read.
"""

import sys
from array import array
from collections.abc import Iterator
from typing import Final

from broker.core.provenance.effort import Effort

GRAM: Final = 8
STEP: Final = 4
LONG_BYTES_MIN: Final = GRAM + STEP - 1
"""What is as long has eight bytes that were written down, wherever it stands."""
BLOCK_BYTES: Final = 16 * 1024
_SHORT: Final = 4
_SHORT_STEP: Final = 2
_READ_AT_ONCE_BYTES: Final = 2 * BLOCK_BYTES  # so much is read whole
_TRIED: Final = 24  # places of what is looked for
_BEYOND: Final = _TRIED + GRAM  # what begins in a block may end in the next, as far as it is tried
_WHOLE_TIMES: Final = 8  # as much as reading it, all of a needle costs to be cut up
_BLOCKS: Final = 64  # are told apart; of more, every one after so many shares a bit
_ANYWHERE: Final = (1 << _BLOCKS) - 1
_COARSE: Final = 8  # are told apart by what is written down of eight bytes
_SPREAD: Final = _ANYWHERE // ((1 << _COARSE) - 1)  # times a coarse mask: the fine one
_SLOTS: Final = (4_093, 16_381, 65_521, 262_139, 1_048_573, 4_194_301, 16_777_213)  # primes
_FILLED: Final = 3  # slots for each byte of the text, at least, while there are more slots
_SHORT_SLOTS: Final = (16_381, 65_521, 262_139)
_ORDER: Final = sys.byteorder


class Blocks:
    """A text to which more and more is added."""

    def __init__(self) -> None:
        """None yet."""
        self.text = bytearray()
        # By the remainder of the value: the blocks.
        self._long = bytearray(_SLOTS[0])
        self._short = array("Q")
        self._long_next = 0  # where the first begins that is not written down
        self._short_next = 0

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.text) + len(self._long) + 8 * len(self._short)

    def add(self, more: bytes) -> None:
        """Add this at the end."""
        self.text += more
        length = len(self.text)
        wanted = _first(_SLOTS, _FILLED * length)
        if wanted > len(self._long):
            self._long, self._long_next = bytearray(wanted), 0
        for number, new in self._parts(self._long_next):
            self._write_long(new, 1 << number % _COARSE)
        self._long_next = _next(length, GRAM, STEP)
        if length <= _READ_AT_ONCE_BYTES:
            return
        wanted = _first(_SHORT_SLOTS, length // _SHORT)
        if wanted > len(self._short):
            self._short, self._short_next = array("Q", bytes(8 * wanted)), 0
        for number, new in self._parts(self._short_next):
            self._write_short(new, 1 << number % _BLOCKS)
        self._short_next = _next(length, _SHORT, _SHORT_STEP)

    def where(self, needle: bytes) -> int:
        """A mask of the blocks in which this may begin, for `find`; 0: it is nowhere."""
        mask = _ANYWHERE
        if len(needle) >= LONG_BYTES_MIN:
            coarse = 0
            for first in range(STEP):
                coarse |= self._coarse(needle, first)
            mask = coarse * _SPREAD
        if mask and self._short and len(needle) >= _SHORT + _SHORT_STEP - 1:
            fine = 0
            for first in range(_SHORT_STEP):
                fine |= self._fine(needle, first)
            mask &= fine
        return mask

    def find(self, needle: bytes, where: int, effort: Effort, start: int = 0) -> int:
        """Where all of this stands first; -1 where it does not, or no effort is left.

        Args:
            needle: one byte at least.
            where: of this needle, since the text was last added to.
            effort: what may be read.
            start: the place from which on it may begin.
        """
        end = len(self.text)
        if not where or effort.is_spent:
            return -1
        if where == _ANYWHERE:
            place = self.text.find(needle, start)
            effort.spend((place if place >= 0 else end) - start)
            return place
        number, last = start // BLOCK_BYTES, end // BLOCK_BYTES
        while number <= last:
            after = number
            while where >> after % _BLOCKS & 1 and after <= last:
                after += 1
            if after > number:
                begin, stop = max(start, number * BLOCK_BYTES), after * BLOCK_BYTES
                stop = min(end, stop + len(needle) - 1)
                place = self.text.find(needle, begin, stop)
                effort.spend((place if place >= 0 else stop) - begin)
                if place >= 0 or effort.is_spent:
                    return place
            number = after + 1
        return -1

    def likely(self, needle: bytes, effort: Effort) -> Iterator[int]:
        """Where pieces of a needle begin that may stand at a place of which eights are written.

        A piece has three eights, four apart: one of them begins at a multiple of three. The others
        are looked at only where that one is there.

        Args:
            needle: `GRAM` bytes and two steps at least.
            effort: with none left there are no more.
        """
        effort.spend(_WHOLE_TIMES * len(needle))
        slots, count = self._long, len(self._long)
        offsets = range(0, len(needle) - GRAM + 1, 3)
        grams = memoryview(b"".join([needle[at : at + GRAM] for at in offsets])).cast("Q")
        there = [at for at, gram in zip(offsets, grams, strict=True) if slots[gram % count]]
        last = len(needle) - GRAM - 2 * STEP
        begins: set[int] = set()
        for at in there:
            effort.glance()
            if effort.is_spent:
                return
            before = self._both(needle, at - STEP, at) if at >= STEP else 0
            after = self._both(needle, at, at + STEP) if at <= last + STEP else 0
            begins.update((at - 2 * STEP,) if before and at >= 2 * STEP else ())
            begins.update((at - STEP,) if before & after else ())
            begins.update((at,) if after and at <= last else ())
        for begin in sorted(begins):
            effort.glance()
            if self._coarse(needle[begin : begin + GRAM + 2 * STEP], 0):
                yield begin

    def _both(self, needle: bytes, one: int, other: int) -> int:
        """The blocks that have the eights at two places, both of them."""
        slots, count = self._long, len(self._long)
        return (
            slots[int.from_bytes(needle[one : one + GRAM], _ORDER) % count]
            & slots[int.from_bytes(needle[other : other + GRAM], _ORDER) % count]
        )

    def _coarse(self, needle: bytes, first: int) -> int:
        """The blocks that have all eights of this from the first place on, as far as tried."""
        slots, count = self._long, len(self._long)
        mask = (1 << _COARSE) - 1
        for at in range(first, min(len(needle) - GRAM + 1, _TRIED), STEP):
            mask &= slots[int.from_bytes(needle[at : at + GRAM], _ORDER) % count]
            if not mask:
                break
        return mask

    def _fine(self, needle: bytes, first: int) -> int:
        """As `_coarse`, by fours."""
        slots, count = self._short, len(self._short)
        mask = _ANYWHERE
        for at in range(first, min(len(needle) - _SHORT + 1, _TRIED), _SHORT_STEP):
            mask &= slots[int.from_bytes(needle[at : at + _SHORT], _ORDER) % count]
            if not mask:
                break
        return mask

    def _parts(self, start: int) -> Iterator[tuple[int, bytes]]:
        """What is new from there on, by block, each with what it has of the next."""
        for number in range(
            max(start - _BEYOND, 0) // BLOCK_BYTES, len(self.text) // BLOCK_BYTES + 1
        ):
            begin = number * BLOCK_BYTES
            yield number, bytes(self.text[max(begin, start) : begin + BLOCK_BYTES + _BEYOND])

    def _write_long(self, new: bytes, bit: int) -> None:
        slots, count = self._long, len(self._long)
        for shift in (0, STEP):
            whole = max(len(new) - shift, 0) // GRAM * GRAM
            for gram in memoryview(new)[shift : shift + whole].cast("Q"):
                slots[gram % count] |= bit

    def _write_short(self, new: bytes, bit: int) -> None:
        slots, count = self._short, len(self._short)
        grams: set[int] = set()
        for shift in (0, _SHORT_STEP):
            whole = max(len(new) - shift, 0) // _SHORT * _SHORT
            grams.update(memoryview(new)[shift : shift + whole].cast("I"))
        for gram in grams:
            slots[gram % count] |= bit


def _first(counts: tuple[int, ...], wanted: int) -> int:
    return next((count for count in counts if count >= wanted), counts[-1])


def _next(length: int, width: int, step: int) -> int:
    """The first multiple of a step at which so much does not stand yet."""
    return max(length - width + step, 0) // step * step

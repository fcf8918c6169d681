"""A hostile tool writes what is slow to read: while the node reads it, every other call waits.

What a tool can write at all is bounded; the time to read it grows with its length and no faster.
"""

import time
from collections.abc import Callable

import pytest

from sandboxes.answers import check_json
from sandboxes.egress import heads
from sandboxes.egress.refusals import EgressRefused
from sandboxes.entry.frames import FrameBroken

DEPTH_MAX = 32
RESULT_BYTES = 1 << 20
HEAD_BYTES = 30_000
WITHIN_S = 2.0  # of processor time; each of these took minutes to days once
MANY = b"[" + b"[]," * DEPTH_MAX


RESULTS = {
    "escapes in a string that never ends": MANY + b'"' + b'\\"' * (RESULT_BYTES // 2),
    "such a string, cut within an escape": MANY + b'"' + b'\\"' * (RESULT_BYTES // 2) + b"\\",
    "a string that never ends": MANY + b'"' + b"x" * RESULT_BYTES,
    "brackets that never close": b"[" * RESULT_BYTES,
    "brackets that were never open": MANY + b"]" * RESULT_BYTES,
    "brackets the wrong way round": b"][" * (RESULT_BYTES // 2),
}


@pytest.mark.parametrize("what", RESULTS)
def test_a_result_that_is_slow_to_measure_is_refused_at_once(what: str) -> None:
    """I leave a string open and fill it with escaped quotes: each begins another search."""
    taken_s = seconds_of(lambda: refused(RESULTS[what]))

    assert taken_s < WITHIN_S


def test_depth_is_measured_outside_of_strings_alone() -> None:
    """I hide brackets in strings, to be refused wrongly, or strings in brackets, to get through."""
    check_json(b'["' + b"[" * 100 + b'", "\\"[[", ' + b"[]," * 100 + b"1]", depth_max=2)
    check_json(b"[" * 32 + b"]" * 32, depth_max=DEPTH_MAX)
    check_json(b"[" + b'{"a":[]},' * 50 + b"1]", depth_max=3)
    for deep in (b"[" * 33 + b"]" * 33, b'{"a":[' * 17 + b'"]"' + b"]}" * 17):
        with pytest.raises(FrameBroken, match="nested"):
            check_json(deep, depth_max=DEPTH_MAX)


BLANKS = {
    "blanks before a value that is none": b"X:" + b" " * HEAD_BYTES + b"\x01",
    "tabs behind a value": b"X: a" + b"\t" * HEAD_BYTES + b"\x01",
    "words and blanks": b"X: " + b"a " * (HEAD_BYTES // 2) + b"\x01",
}


@pytest.mark.parametrize("what", BLANKS)
def test_a_head_that_is_slow_to_read_is_refused_at_once(what: str) -> None:
    """I fill a header field with blanks and spoil its end: 14 s of the node for one request."""
    head = (
        b"GET https://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n%b\r\n\r\n" % BLANKS[what]
    )

    def read() -> None:
        with pytest.raises(EgressRefused):
            heads.read(head)

    assert seconds_of(read) < WITHIN_S


def refused(result: bytes) -> None:
    with pytest.raises(FrameBroken):
        check_json(result, depth_max=DEPTH_MAX)


def seconds_of(work: Callable[[], None]) -> float:
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s

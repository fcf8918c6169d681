"""Reading answers: the same whatever the pieces, and nothing kept beyond the caps."""

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.answers import AnswerReader, check_json
from sandboxes.entry.frames import Answer, Caps, File, FrameBroken, encode_answer

NONCE = "n" * 32
CAPS = Caps(output_bytes_max=1_000, files_max=2, files_bytes_max=100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def read(data: bytes, *, piece: int = 0) -> Answer | None:
    reader = AnswerReader(nonce=NONCE, caps=CAPS)
    size = piece or max(1, len(data))
    got = None
    for start in range(0, len(data), size):
        got = reader.feed(data[start : start + size])
    return got


def framed(header: object, body: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack(">4sI", b"CBRS", len(encoded)) + encoded + body


@given(result=st.binary(max_size=500), content=st.binary(max_size=50), piece=st.integers(1, 40))
def test_an_answer_reads_the_same_in_whichever_pieces_it_comes(
    result: bytes, content: bytes, piece: int
) -> None:
    answer = Answer(nonce=NONCE, result_json=result, files=(File("a.txt", content),))

    assert read(encode_answer(answer), piece=piece) == answer


@given(data=st.binary(max_size=200))
def test_bytes_by_chance_are_broken_or_incomplete_and_never_an_answer(data: bytes) -> None:
    got = None
    with contextlib.suppress(FrameBroken):
        got = read(data)

    assert got is None


@given(piece=st.integers(1, 30), extra=st.binary(min_size=1, max_size=5))
def test_an_answer_with_anything_after_it_in_the_same_piece_is_broken(
    piece: int, extra: bytes
) -> None:
    whole = encode_answer(Answer(nonce=NONCE, result_json=b"1"))
    reader = AnswerReader(nonce=NONCE, caps=CAPS)
    for start in range(0, len(whole) - piece, piece):
        reader.feed(whole[start : start + piece])
    last = (len(whole) - 1) // piece * piece

    with pytest.raises(FrameBroken) as broken:
        reader.feed(whole[max(0, last) :] + extra)

    assert broken.value.code == "OUTPUT_TRAILING"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"nonce": NONCE, "result": 1_001}, "OUTPUT_TOO_LARGE"),
        ({"nonce": NONCE, "result": 1, "files": [{"name": "a", "size": 101}]}, "OUTPUT_TOO_LARGE"),
        ({"nonce": NONCE, "result": 1, "files": [{"name": "a", "size": 0}] * 3},
         "OUTPUT_TOO_LARGE"),
        ({"nonce": NONCE, "result": 1, "files": [{"name": "a/b", "size": 0}]}, "OUTPUT_FILE_NAME"),
        ({"nonce": NONCE, "result": 1, "files": [{"size": 0}]}, "OUTPUT_UNFRAMED"),
        ({"nonce": NONCE, "result": 1, "files": {"a": 1}}, "OUTPUT_UNFRAMED"),
        ({"nonce": NONCE, "result": 1.0}, "OUTPUT_UNFRAMED"),
        ({"nonce": NONCE}, "OUTPUT_UNFRAMED"),
        ({"nonce": "\ud800", "result": 1}, "OUTPUT_UNFRAMED"),
        ([NONCE], "OUTPUT_UNFRAMED"),
    ],
)  # fmt: skip
def test_a_head_is_refused_before_any_of_what_it_announces_has_come(
    header: object, code: str
) -> None:
    with pytest.raises(FrameBroken) as broken:
        read(framed(header))

    assert broken.value.code == code


def test_no_more_is_held_than_what_was_announced() -> None:
    reader = AnswerReader(nonce=NONCE, caps=CAPS)
    reader.feed(framed({"nonce": NONCE, "result": 1_000}))
    for _ in range(9):
        assert reader.feed(b"x" * 100) is None
    with pytest.raises(FrameBroken):
        reader.feed(b"x" * 101)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (["NO_SUCH_ORDER", "There is none."], ("NO_SUCH_ORDER", "There is none.")),
        (["lower", "x"], ("TOOL_FAILED", "x")),
        (["A\nB", "x"], ("TOOL_FAILED", "x")),
        (["A" * 65, "x"], ("TOOL_FAILED", "x")),
        (["A", "\ud800"], ("A", "?")),
    ],
)
def test_a_failure_is_in_the_tools_own_words_within_bounds(
    failure: list[str], told: tuple[str, str]
) -> None:
    answer = read(framed({"nonce": NONCE, "result": 0, "failure": failure}))

    assert answer is not None
    assert answer.failure == told


@pytest.mark.parametrize("failure", [["A"], "A", [1, "x"], {"code": "A"}, ["A", 2]])
def test_a_failure_that_is_no_pair_of_texts_is_broken(failure: object) -> None:
    with pytest.raises(FrameBroken) as broken:
        read(framed({"nonce": NONCE, "result": 0, "failure": failure}))

    assert broken.value.code == "OUTPUT_UNFRAMED"


@given(value=JSON)
def test_any_value_that_is_not_too_deep_is_taken(value: object) -> None:
    check_json(json.dumps(value).encode(), depth_max=_depth(value))


@given(value=JSON.filter(lambda value: _depth(value) > 0))
def test_one_level_less_is_too_deep(value: object) -> None:
    with pytest.raises(FrameBroken) as broken:
        check_json(json.dumps(value).encode(), depth_max=_depth(value) - 1)

    assert broken.value.code == "OUTPUT_TOO_DEEP"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"1 2", b"NaN", b"-Infinity", b"'a'", b'"\xff"', b"\xef\xbb\xbf1", b"[1,]", b"nul"],
)
def test_what_is_not_one_json_value_is_refused(data: bytes) -> None:
    with pytest.raises(FrameBroken) as broken:
        check_json(data, depth_max=32)

    assert broken.value.code == "OUTPUT_NOT_JSON"


def test_brackets_in_texts_are_no_depth_and_escapes_do_not_hide_any() -> None:
    check_json(json.dumps(["[[[[" * 50, '\\"[[[' * 50]).encode(), depth_max=1)
    with pytest.raises(FrameBroken):
        check_json(b'["\\\\",[1],"' + b"[" * 40 + b'"]', depth_max=1)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(each) for each in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(each) for each in value), default=0)
    return 0

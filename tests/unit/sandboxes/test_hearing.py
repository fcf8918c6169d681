"""What a container may say, and when."""

import pytest

from sandboxes.answers import AnswerReader
from sandboxes.entry.frames import READY, Answer, Caps, encode_answer
from sandboxes.hearing import (
    ERRORS_BYTES_MAX,
    ERRORS_KEPT_BYTES,
    Answered,
    Broke,
    Hearing,
    Waiting,
)

OUT, ERR = 1, 2
ANSWER = Answer(nonce="n", result_json=b"1", files=())
READER = {"nonce": "n", "caps": Caps(output_bytes_max=10, files_max=0, files_bytes_max=0)}


def waiting() -> Hearing:
    hearing = Hearing()
    assert hearing.hear(OUT, READY) == Waiting()
    return hearing


def test_it_is_ready_once_it_has_said_so_in_whichever_pieces() -> None:
    hearing = Hearing()
    heard = [hearing.hear(OUT, bytes([byte])) for byte in READY]

    assert heard == [*[None] * (len(READY) - 1), Waiting()]


@pytest.mark.parametrize("said", [b"x", READY + b"x", b"\n" + READY, READY + READY])
def test_anything_else_before_is_early(said: bytes) -> None:
    heard = Hearing().hear(OUT, said)

    assert isinstance(heard, Broke)
    assert heard.code == "OUTPUT_EARLY"


def test_anything_between_ready_and_the_question_is_early() -> None:
    heard = waiting().hear(OUT, encode_answer(ANSWER))

    assert isinstance(heard, Broke)
    assert heard.code == "OUTPUT_EARLY"


def test_the_answer_is_heard_once_and_nothing_after_it() -> None:
    hearing = waiting()
    hearing.expect(AnswerReader(**READER))

    assert hearing.hear(OUT, encode_answer(ANSWER)) == Answered(ANSWER)
    assert hearing.hear(OUT, encode_answer(ANSWER)) is None


def test_it_cannot_be_asked_twice_or_before_it_waits() -> None:
    hearing = waiting()
    hearing.expect(AnswerReader(**READER))

    for each in (hearing, Hearing()):
        with pytest.raises(RuntimeError):
            each.expect(AnswerReader(**READER))


def test_the_beginning_of_its_errors_is_kept_and_too_much_of_them_ends_it() -> None:
    hearing = waiting()
    piece = b"e" * 65_536
    heard = [hearing.hear(ERR, piece) for _ in range(ERRORS_BYTES_MAX // len(piece))]

    assert heard == [None] * len(heard)
    assert hearing.errors == b"e" * ERRORS_KEPT_BYTES
    broke = hearing.hear(ERR, b"e")
    assert isinstance(broke, Broke)
    assert broke.code == "OUTPUT_TOO_LARGE"

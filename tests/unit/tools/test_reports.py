"""A report is read as it was written, bounded by what anybody reads of it."""

import pytest

from broker.core import limits
from broker.core.inspection import RESULT_INVALID, Withheld, failure, inspect
from broker.ports import Failed, Succeeded
from broker.tools.reports import Raised, Report, digest_of, read, written


@pytest.mark.parametrize(
    "said",
    [
        Succeeded(result_json=b""),
        Succeeded(result_json=b'{"a":1}'),
        Succeeded(result_json=bytes(range(256))),
        Failed(code="NO", message="No: \x00 \N{SNOWMAN}"),
        Raised(kind="KeyError"),
        Raised(kind=""),
    ],
)
def test_what_is_written_is_read(said: Report):
    assert read(written(said)) == said


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"\0succeeded", b"Succeeded\0{}", b"lost\0why", b"succeeded{}"],
)
def test_what_was_not_written_is_nothing(body: bytes):
    assert read(body) is None


def test_a_code_that_is_none_does_not_become_one_with_a_part_of_the_message():
    said = Failed(code="NO\0", message="No.")
    kept = read(written(said))
    assert isinstance(kept, Failed)
    assert failure(kept.code, kept.message) == failure(said.code, said.message)


def test_two_reports_are_told_from_each_other_by_who_knows_the_token():
    one, other = written(Succeeded(result_json=b"1")), written(Succeeded(result_json=b"2"))
    digests = {digest_of(body, token) for body in (one, other) for token in ("a", "b")}
    assert len(digests) == 4


def test_what_is_too_long_is_kept_as_that_and_no_longer():
    long = Succeeded(result_json=b'"' + b"a" * 2 * limits.RESULT_BYTES_MAX + b'"')
    kept = read(written(long))
    assert isinstance(kept, Succeeded)
    assert len(kept.result_json) == limits.RESULT_BYTES_MAX + 1
    looked = inspect(kept.result_json, schema=None, obligations=())
    assert looked == inspect(long.result_json, schema=None, obligations=())
    assert isinstance(looked, Withheld)
    assert looked.code == RESULT_INVALID


def test_what_of_a_failure_is_read_is_kept():
    said = Failed(code="A" * 64, message=" " + "m" * 5_000)
    kept = read(written(said))
    assert isinstance(kept, Failed)
    assert failure(kept.code, kept.message) == failure(said.code, said.message)
    assert len(kept.message) == limits.TOOL_MESSAGE_CHARACTERS_MAX

"""A state directory is one broker's at a time, and remembers who had it."""

import json
import shutil
from pathlib import Path

import pytest

from broker.instances import FILE_NAME, FORMER_MAX, StateInUse, take


def test_who_had_it_before_is_remembered(tmp_path: Path) -> None:
    first = take(tmp_path, "brokers/1")
    assert first.former == frozenset()
    first.release()
    second = take(tmp_path, "brokers/2")
    assert second.former == {"brokers/1"}
    second.release()
    third = take(tmp_path, "brokers/3")
    third.release()
    assert third.former == {"brokers/1", "brokers/2"}
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_two_at_a_time_do_not_have_it(tmp_path: Path) -> None:
    """Start a second broker on the state directory of one that runs, to end what that one owns."""
    first = take(tmp_path, "brokers/1")
    with pytest.raises(StateInUse, match="Another broker"):
        take(tmp_path, "brokers/2")
    first.release()
    again = take(tmp_path, "brokers/3")
    assert again.former == {"brokers/1"}
    again.release()


@pytest.mark.parametrize("written", [b"", b'{"here": [', b'["brokers/1"]', b"7", b"\xff\xfe"])
def test_what_a_crash_left_of_it_names_nobody(tmp_path: Path, written: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(written)
    taken = take(tmp_path, "brokers/2")
    taken.release()
    assert taken.former == frozenset()


def test_a_copy_of_a_broker_that_runs_does_not_take_it_for_gone(tmp_path: Path) -> None:
    """Give a second broker a copy of the first one's whole directory, not of its keys alone."""
    first = take(tmp_path, "brokers/1")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / FILE_NAME, copy)
    second = take(copy, "brokers/2")
    assert second.former == frozenset()
    first.release()
    second.release()


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    take(tmp_path, "brokers/first").release()
    written = json.loads((tmp_path / FILE_NAME).read_bytes())
    many = [f"brokers/{number}" for number in range(FORMER_MAX)]
    text = json.dumps({**written, "names": many})
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    take(tmp_path, "brokers/new").release()
    taken = take(tmp_path, "brokers/newer")
    taken.release()
    assert taken.former == {*many[1:], "brokers/new"}

"""Keys and heads, the files outside of the database."""

import os
from pathlib import Path

import pytest

from broker.core.notes import Checkpoint, origin_of, parse_verifier_key, sign
from broker.store import KeysRefused, load_or_create, signature_holds
from broker.store.heads import Heads, notes_of
from broker.store.keys import MAC_FILE, PUBLIC_FILE, SIGNING_FILE
from tests.audit_logs import PUBLIC, SIGNING


def note(size: int) -> str:

    head = Checkpoint(origin=origin_of(PUBLIC), size=size, root=b"r" * 32)
    return sign(head, PUBLIC, SIGNING.sign)


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path):
    state = tmp_path / "state"
    keys = load_or_create(state)
    assert state.stat().st_mode & 0o777 == 0o700
    for name in (MAC_FILE, SIGNING_FILE):
        assert (state / name).stat().st_mode & 0o777 == 0o600
    again = load_or_create(state)
    assert again.mac_key == keys.mac_key
    assert again.public_key == keys.public_key
    assert parse_verifier_key((state / PUBLIC_FILE).read_text()) == keys.public_key
    assert signature_holds(keys.public_key, keys.signing_key.sign(b"m"), b"m")
    assert not signature_holds(keys.public_key, keys.signing_key.sign(b"m"), b"n")
    assert not signature_holds(b"short", b"", b"")


@pytest.mark.parametrize("name", [MAC_FILE, SIGNING_FILE, "."])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, name: str):
    state = tmp_path / "state"
    load_or_create(state)
    (state / name).chmod(0o755)
    with pytest.raises(KeysRefused, match="chmod go="):
        load_or_create(state)


@pytest.mark.parametrize("name", [MAC_FILE, SIGNING_FILE])
@pytest.mark.parametrize("text", [None, "", "00", "nonsense", "\N{SNOWMAN}"])
def test_a_key_that_is_lost_or_damaged_is_never_made_anew(
    tmp_path: Path,
    name: str,
    text: str | None,
):
    state = tmp_path / "state"
    load_or_create(state)
    if text is None:
        (state / name).unlink()
    else:
        (state / name).write_text(text, encoding="utf-8")
    with pytest.raises(KeysRefused):
        load_or_create(state)


def test_heads_are_added_and_the_newest_is_the_last(tmp_path: Path):
    heads = Heads(tmp_path / "checkpoints")
    assert heads.newest() is None
    for size in (1, 5, 9):
        heads.append(note(size))
    assert heads.newest() == note(9)
    assert notes_of(heads.path.read_bytes()) == [note(1), note(5), note(9)]
    assert heads.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 50, 170])
def test_a_head_that_was_cut_off_is_none_and_is_dropped(tmp_path: Path, cut: int):
    heads = Heads(tmp_path)
    heads.append(note(1))
    heads.append(note(2))
    os.truncate(heads.path, heads.path.stat().st_size - cut)
    assert heads.newest() == note(1)
    heads.append(note(3))
    assert notes_of(heads.path.read_bytes()) == [note(1), note(3)]


def test_a_first_head_that_was_cut_off_is_dropped(tmp_path: Path):
    heads = Heads(tmp_path)
    heads.append(note(1))
    os.truncate(heads.path, 20)
    assert heads.newest() is None
    heads.append(note(3))
    assert notes_of(heads.path.read_bytes()) == [note(3)]


def test_a_single_note_is_a_file_of_heads_too():
    assert notes_of(note(4).encode()) == [note(4)]
    assert notes_of(b"") == []


@pytest.mark.parametrize("text", [b"{}\n", b'{"entry":{},"leaf":0}\n', b"{\n"])
def test_a_file_of_something_else_is_refused(text: bytes):
    with pytest.raises(ValueError, match=r"line|head"):
        notes_of(text)


def test_a_key_for_a_purpose_is_that_of_all_who_have_the_audit_keys_and_of_nothing_else(
    tmp_path: Path,
):
    keys, again = load_or_create(tmp_path / "state"), load_or_create(tmp_path / "state")
    others = load_or_create(tmp_path / "other")
    assert keys.key_for("permits") == again.key_for("permits")
    made = {keys.key_for("permits"), keys.key_for("else"), keys.mac_key, others.key_for("permits")}
    assert [len(key) for key in made] == [32] * 4

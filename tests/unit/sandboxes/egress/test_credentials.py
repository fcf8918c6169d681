"""A credential is read from a file that is the node's alone; what echoes it is noticed."""

import base64
import hashlib
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.egress.credentials import Credential, read_secret
from sandboxes.egress.echoes import EchoGuard, Wanted, spellings
from sandboxes.egress.refusals import EgressRefused

SECRET = "s3cret/with+odd=characters&more"
HOST = "api.example.com"


@pytest.fixture
def credential(tmp_path) -> Credential:
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return Credential(name="c", hosts=(HOST, "*.shop.example.com"), file=file)


def read(credential: Credential, host: str = HOST, subject: str = "") -> str:
    return read_secret(credential, host=host, subject=subject)


def missing(credential: Credential, **given) -> str:
    with pytest.raises(EgressRefused) as refused:
        read(credential, **given)
    assert refused.value.code == "EGRESS_CREDENTIAL_MISSING"
    assert SECRET not in str(refused.value)
    return str(refused.value)


def test_a_secret_is_its_line(credential):
    assert read(credential) == SECRET
    assert read(credential, host="a.shop.example.com") == SECRET


def test_a_secret_is_read_anew_each_time(credential):
    assert read(credential) == SECRET
    credential.file.write_text("another secret")
    assert read(credential) == "another secret"


@pytest.mark.parametrize("host", ["evil.example.com", "shop.example.com", "a.b.shop.example.com"])
def test_it_goes_to_its_own_hosts_alone(credential, host: str):
    assert "not for this host" in missing(credential, host=host)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_a_file_that_others_may_open_is_none(credential, mode: int):
    credential.file.chmod(mode)
    assert "mode 0600" in missing(credential)


@pytest.mark.parametrize("content", ["", "short", "two lines\nof it", "\x00" * 20, "caf\u00e9" * 5])
def test_what_is_no_secret_is_not_sent(credential, content: str):
    credential.file.write_text(content)
    assert "printable" in missing(credential)


def test_each_subject_has_a_file_of_its_own(tmp_path):
    kept = Credential(name="c", hosts=(HOST,), directory=tmp_path)
    file = tmp_path / hashlib.sha256(b"customers/c-1").hexdigest()
    file.write_text(SECRET)
    file.chmod(0o600)
    assert read(kept, subject="customers/c-1") == SECRET
    assert "cannot be read" in missing(kept, subject="customers/c-2")
    assert "names none" in missing(kept)
    assert "cannot be read" in missing(kept, subject="../token")


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        SECRET.replace("/", "\\/").replace("+", "\\u002b"),
        quote(SECRET, safe="/+"),
        quote(SECRET, safe="=").lower(),
        SECRET.replace("&", "&amp;").replace("/", "&#x2F;").replace("+", "&#43;"),
        quote(SECRET, safe="").replace("%2F", "\\u00252f"),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"Bearer " + SECRET.encode() + b" and more").decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
        base64.urlsafe_b64encode(b"x" + SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_as_servers_write_it(spelled: str):
    with pytest.raises(EgressRefused) as refused:
        EchoGuard(spellings(SECRET)).feed(f"before {spelled} after".encode())
    assert refused.value.code == "EGRESS_CREDENTIAL_ECHOED"


def test_the_password_within_basic_is_found_too():
    sent = base64.b64encode(b"user:open sesame").decode()
    with pytest.raises(EgressRefused):
        EchoGuard(spellings(sent, "Basic ")).feed(b'{"password":"open sesame"}')


@given(st.binary(max_size=80), st.lists(st.integers(1, 20), max_size=12), st.binary(max_size=60))
def test_however_an_echo_is_cut_up_no_byte_of_it_passes(before, sizes, after):
    guard = EchoGuard(spellings(SECRET))
    passed, left, code = b"", before + SECRET.encode() + after, ""
    for size in [*sizes, len(left)]:
        piece, left = left[:size], left[size:]
        try:
            passed += guard.feed(piece)
        except EgressRefused as refused:
            code = refused.code
            break
    assert code == "EGRESS_CREDENTIAL_ECHOED"
    assert before.startswith(passed)


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_what_has_no_echo_passes_whole(pieces):
    guard = EchoGuard(spellings(SECRET))
    assert b"".join([*map(guard.feed, pieces), guard.finish()]) == b"".join(pieces)
    plain = EchoGuard(Wanted())
    assert [plain.feed(piece) for piece in pieces] == pieces

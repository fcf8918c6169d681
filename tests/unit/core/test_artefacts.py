"""File names lead nowhere and hide nothing; artefacts are named by chance alone."""

import pytest

from broker.core import artefacts, limits
from broker.core.artefacts import FileNameRefused, require_file_name
from broker.core.pointers import Pointer
from tests.store_values import session, stored


@pytest.mark.parametrize(
    "name",
    [
        "report.csv",
        "Rechnung Nr. 5 (Entwurf).pdf",
        "Q&A - 50%, it's fine!.txt",
        "\u5831\u544a.txt",
        "r\u00e9sum\u00e9.pdf",
        "a",
        "x" * 128,
        "console.log",
        "com10.txt",
    ],
)
def test_an_ordinary_name_passes(name: str):
    assert require_file_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "1 to 128"),
        ("x" * 129, "1 to 128"),
        ("\u5831" * 86, "255 bytes"),
        ("../etc/passwd", "without a path"),
        ("a/b", "without a path"),
        ("a\\b", "without a path"),
        ("C:x", "without a path"),
        ("x.txt:stream", "without a path"),
        ("*.txt", "without a path"),
        ("a\x00.txt", "show as themselves"),
        ("a\nb", "show as themselves"),
        ("\x1b[2J.txt", "show as themselves"),
        ("a\u202efdp.exe", "show as themselves"),
        ("a\u200b.txt", "show as themselves"),
        ("a\u00a0.txt", "show as themselves"),
        ("a\ufe0f.txt", "show as themselves"),
        ("\ud800.txt", "show as themselves"),
        ("re\u0301sume\u0301.pdf", "NFC"),
        (".", "dot or a space"),
        ("..", "dot or a space"),
        (".bashrc", "dot or a space"),
        ("name.", "dot or a space"),
        (" name", "dot or a space"),
        ("name ", "dot or a space"),
        ("-rf", "begin with"),
        ("~root", "begin with"),
        ("CON", "device"),
        ("nul.txt", "device"),
        ("Aux.tar.gz", "device"),
        ("COM1", "device"),
        ("lpt\u00b9.txt", "device"),
    ],
)
def test_a_name_that_leads_somewhere_or_hides_something_is_refused(name: str, why: str):
    with pytest.raises(FileNameRefused, match=why):
        require_file_name(name)


def test_equal_names_are_told_apart_for_file_systems_that_ignore_case():
    assert artefacts.file_names(["a.txt", "b", "A.TXT", "b", "a-2.txt"]) == (
        "a.txt",
        "b",
        "A-3.TXT",
        "b-2",
        "a-2.txt",
    )


def test_a_name_that_is_told_apart_is_still_a_good_one():
    for long in ("x" * 124 + ".csv", "\u5831" * 83 + ".csv", "\u5831" * 42):
        first, second = artefacts.file_names([long, long])
        assert first == long
        assert second != long
        require_file_name(second)


def test_only_random_names_are_names():
    good = stored(session()).artefact.name
    assert artefacts.is_name(good)
    bad = ("", good[:-1], good + "A", good + "\n", good.upper(), "artefacts/" + "a" * 64, 5, None)
    assert not any(artefacts.is_name(name) for name in bad)
    with pytest.raises(ValueError, match="43 characters"):
        artefacts.new_name("short")


def test_arguments_name_one_file_or_many_and_what_is_left_out_names_none():
    pointers = tuple(map(Pointer.parse, ("/one", "/many", "/none", "/null", "/deep/0/x")))
    arguments = {"many": ["b", "c"], "one": "a", "null": None, "deep": [{"x": 5}]}
    assert dict(artefacts.named_in(pointers, arguments)) == {
        "/one": "a",
        "/many/0": "b",
        "/many/1": "c",
        "/deep/0/x": 5,
    }


def test_one_call_is_handed_so_many_files_and_bytes():
    of = session()
    one = stored(of).artefact
    large = stored(of, size=limits.SANDBOX_FILES_BYTES_MAX).artefact
    assert not artefacts.are_too_many([one] * limits.SANDBOX_FILES_MAX)
    assert artefacts.are_too_many([one] * (limits.SANDBOX_FILES_MAX + 1))
    assert not artefacts.are_too_many([large])
    assert artefacts.are_too_many([large, one])

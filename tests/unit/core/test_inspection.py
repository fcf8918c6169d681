"""A result is looked at before anyone reads it, and withheld where a duty cannot be done."""

from typing import Any

import pytest

from broker.core.canonical import canonical_bytes
from broker.core.decision import Obligation
from broker.core.inspection import Released, Withheld, inspect, inspect_files
from broker.core.schemas import Validator

WITHHOLD = Obligation(kind="withhold")


def redact(*pointers: str) -> Obligation:
    return Obligation(kind="redact", parameters={"pointers": list(pointers)})


def looked_at(value: Any, *obligations: Obligation) -> Released | Withheld:
    return inspect(canonical_bytes(value), schema=None, obligations=obligations)


@pytest.mark.parametrize(
    ("value", "pointer", "released"),
    [
        ({"mail": "a@b.c", "id": 1}, "/mail", {"mail": "[REDACTED]", "id": 1}),
        (
            {"rows": [{"mail": 1}, {"mail": 2}]},
            "/rows/1/mail",
            {"rows": [{"mail": 1}, {"mail": "[REDACTED]"}]},
        ),
        ({"a": {"b": 1}}, "/a", {"a": "[REDACTED]"}),
        ({"a": 1}, "", "[REDACTED]"),
        ({"a": 1}, "/b", {"a": 1}),
        ({"a": None}, "/a/b", {"a": None}),
        ([1], "/7", [1]),
    ],
)
def test_what_is_named_is_redacted(value: Any, pointer: str, released: Any):
    assert looked_at(value, redact(pointer)) == Released(result=canonical_bytes(released))


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([{"mail": "a@b.c"}], "/mail"),
        ({"customer": "Ann, a@b.c"}, "/customer/mail"),
        ({"rows": [{"mail": "a@b.c"}]}, "/rows/*/mail"),
    ],
)
def test_what_cannot_be_redacted_is_withheld(value: Any, pointer: str):
    looked = looked_at(value, redact(pointer))
    assert isinstance(looked, Withheld)
    assert looked.code == "RESULT_WITHHELD"
    assert "a@b.c" not in looked.message


def test_withholding_wins_whatever_else_is_owed():
    for duties in ((WITHHOLD, redact("/a")), (redact("/a"), WITHHOLD)):
        assert looked_at({"a": 1}, *duties) == Withheld(
            code="RESULT_WITHHELD", message="The call ran. Its result is withheld by policy."
        )


@pytest.mark.parametrize("answer", [b'{"secret":"s3cr3t"', b'{"secret":"s3cr3t"}', b"\xff"])
def test_a_result_that_is_not_what_is_declared_does_not_leak_into_the_message(answer: bytes):
    schema = Validator({"type": "object", "properties": {"secret": {"type": "integer"}}})
    looked = inspect(answer, schema=schema, obligations=())
    assert isinstance(looked, Withheld)
    assert looked.code == "RESULT_INVALID"
    assert "s3cr3t" not in looked.message


def scan(then: str, *kinds: str) -> Obligation:
    return Obligation(kind="scan", parameters={"for": [*kinds], "then": then})


MAILED = {"note": "ask ann@example.com", "password": "tea", "card": 4_111_111_111_111_111}


@pytest.mark.parametrize(
    ("kinds", "released"),
    [
        (["links"], MAILED),
        (["mailboxes"], MAILED | {"note": "ask [REDACTED]"}),
        (["secrets"], MAILED | {"password": "[REDACTED]"}),
        (["mailboxes", "cards"], MAILED | {"note": "ask [REDACTED]", "card": "[REDACTED]"}),
    ],
)
def test_what_a_scan_finds_is_redacted_and_no_more(kinds: list[str], released: Any):
    assert looked_at(MAILED, scan("redact", *kinds)) == Released(result=canonical_bytes(released))


def test_a_scan_may_withhold_the_whole():
    looked = looked_at(MAILED, scan("withhold", "cards"))
    assert isinstance(looked, Withheld)
    assert looked.code == "RESULT_WITHHELD"
    assert "4111" not in looked.message


def test_a_scan_that_finds_nothing_withholds_nothing():
    assert looked_at(MAILED, scan("withhold", "links")) == Released(result=canonical_bytes(MAILED))


@pytest.mark.parametrize("empty", [None, "", True, False])
def test_a_member_that_would_tell_and_holds_nothing_stays(empty: Any):
    value = {"password": empty}
    assert looked_at(value, scan("redact", "secrets")) == Released(result=canonical_bytes(value))


@pytest.mark.parametrize(
    "value", [{"ann@example.com": 1}, "@ " * 10_001], ids=["in a name", "too many"]
)
def test_what_a_scan_cannot_take_out_is_withheld(value: Any):
    looked = looked_at(value, scan("redact", "mailboxes"))
    assert isinstance(looked, Withheld)
    assert looked.code == "RESULT_WITHHELD"


def test_a_scan_for_what_nobody_knows_looks_for_everything():
    released = looked_at(MAILED, scan("redact", "riddles"))
    assert isinstance(released, Released)
    assert b"ann@" not in released.result


def test_files_beside_a_scanned_result_are_withheld():
    looked = inspect_files(
        [("a.txt", 1)], count_max=1, bytes_max=1, obligations=(scan("redact", "secrets"),)
    )
    assert looked is not None
    assert looked.code == "FILES_WITHHELD"

"""A result is looked at before anyone reads it, and withheld where a duty cannot be done."""

from typing import Any

import pytest

from broker.core.canonical import canonical_bytes
from broker.core.decision import Obligation
from broker.core.inspection import Released, Withheld, inspect
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

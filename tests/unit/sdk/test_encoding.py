from datetime import UTC, datetime
from enum import StrEnum

import pytest

from broker.sdk.encoding import arguments_json
from broker.sdk.messages import invoke_request, mandate_request


class Currency(StrEnum):
    EUR = "EUR"


def test_a_mapping_becomes_compact_utf8() -> None:
    value = {"é": [1, 2.5, True, None, (1,)], "currency": Currency.EUR}
    assert arguments_json(value) == '{"é":[1,2.5,true,null,[1]],"currency":"EUR"}'.encode()


def test_a_large_integer_keeps_its_digits() -> None:
    assert arguments_json({"n": 2**53 + 1}) == b'{"n":9007199254740993}'


def test_a_models_own_bytes_pass_unread() -> None:
    assert arguments_json(b'{"a":1,"a":2}') == b'{"a":1,"a":2}'


LOOP: dict[str, object] = {}
LOOP["loop"] = LOOP


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "arguments/at is a datetime"),
        ({"a": [{"b": {1}}]}, "arguments/a/0/b is a set"),
        ({"a": float("nan")}, "arguments/a is nan"),
        ({"a": float("inf")}, "arguments/a is inf"),
        ({1: "a"}, "key 1"),
        ({"a": b"x"}, "arguments/a is a bytes"),
        ({"a": "\ud800"}, "lone surrogate"),
        (LOOP, "nested too deep"),
        ('{"a":1}', "not str"),
        ([1], "not list"),
        (None, "not NoneType"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(value: object, where: str) -> None:
    with pytest.raises(TypeError, match=where):
        arguments_json(value)


def test_one_string_is_not_a_list_of_scopes() -> None:
    for wrong in ({"scopes": "orders:read"}, {"groups": "vip"}):
        order = {
            "principal": "p",
            "agent": "agents/a",
            "context": "open",
            "words": "",
            "groups": (),
            "scopes": (),
            "session_life_s": None,
        } | wrong
        with pytest.raises(TypeError, match="is a list"):
            mandate_request(**order)  # type: ignore[arg-type]


def test_a_context_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="mediated"):
        mandate_request(
            principal="p",
            agent="agents/a",
            context="closed",  # type: ignore[arg-type]
            words="",
            groups=(),
            scopes=(),
            session_life_s=None,
        )


@pytest.mark.parametrize("wait_s", [-1.0, 60.5, float("nan")])
def test_a_wait_is_bounded(wait_s: float) -> None:
    with pytest.raises(ValueError, match="wait_s"):
        invoke_request(
            session="s", secret="s", tool="t", arguments={}, request_id="c", wait_s=wait_s
        )

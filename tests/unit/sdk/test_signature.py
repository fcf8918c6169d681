from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict, Union

import pytest

from broker.sdk import Call
from broker.sdk.signature import decode, parameters, parameters_schema, result_schema

OrderId = NewType("OrderId", str)


@dataclass
class Point:
    x: int
    y: float = 0.0
    tags: tuple[str, ...] = field(default_factory=tuple)
    seen: bool = field(default=False, init=False)


class Address(TypedDict):
    city: str
    zip: NotRequired[Annotated[str, {"maxLength": 10}]]


@dataclass
class Node:
    children: list[Node]


POINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["x"],
    "properties": {
        "x": {"type": "integer"},
        "y": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
ADDRESS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "zip": {"type": "string", "maxLength": 10}},
}


def returning(annotation: Any) -> Callable[[], object]:
    def function() -> object: ...

    function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (OrderId, {"type": "string"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (list[Any], {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}),
        (Literal["EUR", "USD"], {"enum": ["EUR", "USD"]}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (Annotated[str, {"pattern": "^O-"}], {"type": "string", "pattern": "^O-"}),
        (Annotated[int, "In cents."], {"type": "integer", "description": "In cents."}),
        (Annotated[int, object()], {"type": "integer"}),
        (Point, POINT),
        (list[Point], {"type": "array", "items": POINT}),
        (Address, ADDRESS),
    ],
)
def test_an_annotation_has_one_schema(annotation: Any, schema: object) -> None:
    assert result_schema(returning(annotation)) == schema


@pytest.mark.parametrize(
    "annotation", [set, complex, bytes, dict[int, str], tuple[int, str], Node, Callable]
)
def test_what_has_no_schema_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError, match="result"):
        result_schema(returning(annotation))


def test_parameters_make_one_closed_object() -> None:
    def refund(
        call: Call,
        order_id: str,
        *,
        amount_minor: int,
        reason: str = "",
        point: Point | None = None,
    ) -> None: ...

    assert parameters_schema(refund) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id", "amount_minor"],
        "properties": {
            "order_id": {"type": "string"},
            "amount_minor": {"type": "integer"},
            "reason": {"type": "string"},
            "point": {"anyOf": [POINT, {"type": "null"}]},
        },
    }
    assert parameters(refund).call == "call"


def test_the_call_is_known_by_its_class_too() -> None:
    def refund(whose: Call, order_id: str) -> None: ...

    def call_me(number: str, call: str) -> None: ...

    assert parameters(refund).call == "whose"
    assert list(parameters_schema(call_me)["properties"]) == ["number", "call"]


def test_others_open_the_object() -> None:
    def anything(**others: object) -> None: ...

    def numbers(**others: int) -> None: ...

    assert parameters_schema(anything)["additionalProperties"] is True
    assert parameters_schema(numbers)["additionalProperties"] == {"type": "integer"}


def test_what_cannot_be_given_by_name_is_refused() -> None:
    def positional(order_id: str, /) -> None: ...

    def several(*order_ids: str) -> None: ...

    for function in (positional, several):
        with pytest.raises(TypeError, match="by name"):
            parameters_schema(function)


def test_an_annotation_that_names_nothing_is_refused() -> None:
    def refund(order: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="Missing"):
        parameters_schema(refund)


def test_no_return_annotation_is_no_schema() -> None:
    def refund(order_id: str): ...

    assert result_schema(refund) is None


@pytest.mark.parametrize(
    ("annotation", "value", "decoded"),
    [
        (float, 1, 1.0),
        (int, 1, 1),
        (Any, {"x": 1}, {"x": 1}),
        (Point, {"x": 1, "y": 2, "tags": ["a"]}, Point(1, 2.0, ("a",))),
        (Point | None, {"x": 1}, Point(1)),
        (Point | None, None, None),
        (list[Point], [{"x": 1}], [Point(1)]),
        (list[Point] | None, [{"x": 1}], [Point(1)]),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
        (Annotated[Point, "A point."], {"x": 1}, Point(1)),
        (Address, {"city": "Graz"}, {"city": "Graz"}),
    ],
)
def test_json_takes_the_shape_that_was_asked_for(
    annotation: Any, value: object, decoded: object
) -> None:
    result = decode(annotation, value)
    assert result == decoded
    assert type(result) is type(decoded)


def test_json_that_lacks_a_field_is_no_dataclass() -> None:
    with pytest.raises(TypeError):
        decode(Point, {"y": 1})

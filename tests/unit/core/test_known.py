"""What a reference stands for in one call."""

from broker.core.calls import Fact
from broker.core.known import Known
from broker.core.pointers import MISSING, Reference
from tests.fakes.desk import ARGUMENTS, order_fact, session


def rows(*values):
    return {"orders": Fact(name="orders", source="shop", value=list(values))}


def at(text: str) -> Reference:
    return Reference.parse(text)


KNOWN = Known(arguments=ARGUMENTS, session=session(), facts=order_fact())


def test_each_root_is_its_own_document():
    assert KNOWN.value(at("/order_id")) == "O-1001"
    assert KNOWN.value(at("order#/captured_minor")) == 12_000
    assert KNOWN.value(at("principal#/groups/0")) == "customers"
    assert KNOWN.value(at("principal#/attributes/region")) == "eu"
    assert KNOWN.value(at("agent#/id")) == "agents/support"
    assert KNOWN.value(at("session#/words/0")) == "Please refund order O-1001."


def test_what_is_not_there_is_missing():
    for text in ("/x", "order#/x", "nobody#/x", "each#", "principal#/issuer"):
        assert KNOWN.value(at(text)) is MISSING
    assert Known(arguments={}).value(at("principal#/id")) is MISSING


def test_a_pointer_into_several_rows_points_into_each():
    known = Known(arguments={}, facts=rows({"id": "a"}, {"id": "b"}))
    assert known.value(at("orders#/id")) == ["a", "b"]
    assert known.value(at("orders#/1/id")) == "b"
    assert Known(arguments={}, facts=rows({"id": "a"}, {})).value(at("orders#/id")) is MISSING


def test_equality_needs_both_sides_and_every_element():
    known = Known(
        arguments={"a": "x", "b": "x", "c": "y", "none": [], "null": None},
        facts=rows({"id": "x"}, {"id": "x"}),
    )
    assert known.equal(at("/a"), at("/b"))
    assert known.equal(at("orders#/id"), at("/a"))
    assert not known.equal(at("orders#/id"), at("/c"))
    assert not known.equal(at("/a"), at("/c"))
    assert not known.equal(at("/missing"), at("/gone"))
    assert not known.equal(at("/none"), at("/none"))
    assert not known.equal(at("/null"), at("/missing"))


def test_an_error_hides_a_value_that_came_with_it():
    odd = {"order": Fact(name="order", source="s", value={"id": 1}, error="SHAPE_INVALID")}
    assert Known(arguments={}, facts=odd).value(at("order#/id")) is MISSING

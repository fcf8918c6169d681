"""What lint says of a schema, and what a validator says of a value."""

import pytest

from broker.core.schemas import SchemaRefused, Validator, Violation, lint

CLOSED = {"type": "object", "additionalProperties": False}
REFUND = {
    **CLOSED,
    "required": ["order_id", "amount_minor", "currency"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^O-[0-9]{4,12}$"},
        "amount_minor": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
        "currency": {"enum": ["EUR", "USD"]},
        "reason": {"type": "string", "maxLength": 300},
    },
}
VALID = {"order_id": "O-1001", "amount_minor": 6000, "currency": "EUR"}


def only(schema, value) -> Violation:
    (violation,) = Validator(schema).violations(value)
    return violation


def test_a_sound_schema_has_no_findings():
    assert lint(REFUND, arguments=True) == ([], [])


def test_a_valid_value_has_no_violations():
    validator = Validator(REFUND)
    assert validator.is_valid(VALID)
    assert validator.violations(VALID) == ()


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        ({"order_id": "x"}, "/order_id", "does not match ^O-[0-9]{4,12}$"),
        ({"order_id": 1001}, "/order_id", "is not of type string"),
        ({"amount_minor": 0}, "/amount_minor", "is less than 1"),
        ({"amount_minor": 10_000_001}, "/amount_minor", "is more than 10000000"),
        ({"amount_minor": 1.5}, "/amount_minor", "is not of type integer"),
        ({"currency": "GBP"}, "/currency", 'is not one of ["EUR","USD"]'),
        ({"reason": "x" * 301}, "/reason", "has more than 300 characters"),
        ({"note": "x"}, "/note", "is not a declared property"),
    ],
)
def test_a_violation_says_where_and_why(change, pointer, message):
    assert only(REFUND, {**VALID, **change}) == Violation(pointer, message)


def test_a_missing_property_is_pointed_at():
    assert only({"required": ["a/b"]}, {}) == Violation("/a~1b", "is required")


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"const": {"a": 1}}, 2, 'is not {"a":1}'),
        ({"format": "date"}, "SECRET", "is not of format date"),
        ({"exclusiveMinimum": 5}, 5, "is not more than 5"),
        ({"exclusiveMaximum": 5}, 5, "is not less than 5"),
        ({"multipleOf": 0.01}, 0.005, "is not a multiple of 0.01"),
        ({"minLength": 9}, "SECRET", "has fewer than 9 characters"),
        ({"minItems": 1}, [], "has fewer than 1 items"),
        ({"maxItems": 1}, [1, 2], "has more than 1 items"),
        ({"minProperties": 1}, {}, "has fewer than 1 properties"),
        ({"maxProperties": 1}, {"SECRET": 1, "b": 2}, "has more than 1 properties"),
        ({"uniqueItems": True}, ["SECRET"] * 2, "has the same item twice"),
        ({"contains": {"const": 1}}, ["SECRET"], "does not contain what it must"),
        ({"propertyNames": {"maxLength": 1}}, {"SECRET": 1}, "has a property of a forbidden name"),
        ({"not": {"type": "string"}}, "SECRET", "is what it must not be"),
        (False, "SECRET", "is not allowed here"),
        ({"unevaluatedItems": False}, ["SECRET"], "has items that are not declared"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "is not of type null or string"),
        ({"anyOf": [{"maxLength": 3}, {"type": "null"}]}, "SECRET", "has more than 3 characters"),
        ({"anyOf": [{"maxLength": 3}, {"minLength": 9}]}, "SECRET", "matches no alternative"),
        ({"oneOf": [{"minLength": 1}, {"maxLength": 9}]}, "SECRET", "matches several alternatives"),
        ({"dependentRequired": {"SECRET": ["b"]}}, {"SECRET": 1}, "is required"),
        (
            {"if": {"minLength": 1}, "then": {"maxLength": 2}},
            "SECRET",
            "has more than 2 characters",
        ),
    ],
)
def test_a_message_comes_from_the_schema_and_never_holds_the_value(schema, value, message):
    violation = only(schema, value)
    assert violation.message == message
    assert "SECRET" not in violation.message


def test_a_tool_without_arguments_says_so():
    assert only(CLOSED, {"SECRET": 1}) == Violation("", "has a property, and none is declared")


def test_at_most_ten_violations_are_told():
    schema = {"items": {"type": "integer"}}
    assert len(Validator(schema).violations(["x"] * 50)) == 10
    assert len(Validator(REFUND).violations({str(n): n for n in range(50)})) == 10


@pytest.mark.parametrize("name", ["email", "uri", "date-time", "uuid", "ipv4"])
def test_formats_are_asserted_unless_they_are_asked_to_be_annotations(name):
    assert not Validator({"format": name}).is_valid("no such thing")
    assert Validator({"format": name}, formats=False).is_valid("no such thing")


def test_a_default_is_never_filled_in():
    value = {}
    assert Validator({**CLOSED, "properties": {"n": {"default": 1}}}).is_valid(value)
    assert value == {}


@pytest.mark.parametrize("text", ["3\n", "\u0663", "3 ", ""])
def test_a_pattern_means_what_ecmascript_means(text):
    assert Validator({"pattern": "^\\d$"}).is_valid("3")
    assert not Validator({"pattern": "^\\d$"}).is_valid(text)


@pytest.mark.parametrize(
    ("schema", "finding"),
    [
        (5, "#: a schema is an object, true or false"),
        ({"type": "strin"}, "#/type: 'strin' is not valid under any of the given schemas"),
        ({"properties": {"a": {"minLength": -1}}}, "#/properties/a/minLength: -1 is less than the"),
        ({"$ref": "#/$defs/none"}, "#: Pointer '/$defs/none' does not exist"),
        ({"$id": "https://example.com/x"}, "#: $id moves what references are relative to"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "#: $schema is not https://"),
        ({"const": float("nan")}, "#: is not JSON"),
        ({"const": {1, 2}}, "#: is not JSON"),
        ({"const": 2**53}, "#: The value has no canonical form"),
        ({1: 2}, "#: The value has no canonical form"),
        ({"description": "x" * 65_536}, "#: is longer than 65536 bytes"),
        ({"enum": list(range(10_000))}, "#: has more than 10000 values"),
        ({"pattern": "a" * 1_001}, "#: a pattern is longer than 1000"),
    ],
)
def test_a_broken_schema_is_told_where(schema, finding):
    errors, _ = lint(schema, arguments=False)
    assert len(errors) == 1
    assert errors[0].startswith(finding)


def test_the_dialect_may_be_named():
    schema = {**CLOSED, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    assert lint(schema, arguments=True) == ([], [])


@pytest.mark.parametrize(
    ("schema", "finding"),
    [
        (True, "#: arguments are an object: say type: object"),
        ({}, "#: arguments are an object: say type: object"),
        ({"additionalProperties": False}, "#: arguments are an object: say type: object"),
        ({**CLOSED, "type": ["object", "null"]}, "#: arguments are an object: say type: object"),
        ({"type": "object"}, "#: arguments are closed: say additionalProperties: false"),
        ({**CLOSED, "additionalProperties": {}}, "#: arguments are closed"),
        ({"type": "object", "allOf": [CLOSED]}, "#: arguments are closed"),
    ],
)
def test_arguments_are_a_closed_object(schema, finding):
    errors, _ = lint(schema, arguments=True)
    assert any(error.startswith(finding) for error in errors)


def test_a_result_may_be_anything():
    for schema in (True, {"type": "string", "maxLength": 5}, {"type": "object"}):
        assert lint(schema, arguments=False)[0] == []


def test_unevaluated_properties_close_a_root_as_well():
    schema = {
        "type": "object",
        "unevaluatedProperties": False,
        "allOf": [{"properties": {"a": {"type": "integer"}}}],
    }
    assert lint(schema, arguments=True) == ([], [])
    assert not Validator(schema).is_valid({"b": 1})


@pytest.mark.parametrize(
    ("part", "warning"),
    [
        ({"type": "string"}, "strings have no maxLength"),
        ({"type": ["string", "null"]}, "strings have no maxLength"),
        ({"type": "string", "pattern": "^a+$"}, "strings have no maxLength"),
        ({"type": "string", "pattern": "a{3}"}, "strings have no maxLength"),
        ({"type": "array", "items": {"type": "integer"}}, "arrays have no maxItems"),
        ({"type": "object"}, "objects admit any number of properties"),
        ({"type": "string", "maxLength": 9, "format": "emial"}, "this format is not known"),
        ({"title": "Anything"}, "accepts any value"),
    ],
)
def test_an_unbounded_part_is_a_warning(part, warning):
    errors, warnings = lint({**CLOSED, "properties": {"p": part}}, arguments=True)
    assert errors == []
    assert [w.startswith(f"#/properties/p: {warning}") for w in warnings] == [True]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "string", "pattern": "^O-[0-9]{4,12}$"},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "format": "uuid"},
        {"type": "array", "maxItems": 3, "items": {"type": "integer"}},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 3},
        CLOSED,
    ],
)
def test_a_bounded_part_is_none(part):
    assert lint({**CLOSED, "properties": {"p": part}}, arguments=True) == ([], [])


def test_a_recursive_schema_is_checked():
    tree = {
        **CLOSED,
        "properties": {"children": {"type": "array", "maxItems": 9, "items": {"$ref": "#"}}},
    }
    assert lint(tree, arguments=True) == ([], [])
    validator = Validator(tree)
    assert validator.is_valid({"children": [{"children": []}]})
    assert validator.violations({"children": [{"x": 1}]}) == (
        Violation("", "is not what the schema says"),
    )


def test_references_by_pointer_and_by_anchor_are_followed():
    schema = {
        **CLOSED,
        "properties": {
            "a": {"$ref": "#/$defs/n"},
            "b": {"$ref": "#number"},
            "c": {"$ref": "#/x/y"},
        },
        "$defs": {"n": {"$anchor": "number", "type": "integer"}},
        "x": {"y": {"type": "boolean"}},
    }
    assert lint(schema, arguments=True) == ([], [])
    found = Validator(schema).violations({"a": "x", "b": "x", "c": "x"})
    assert {violation.pointer for violation in found} == {"/a", "/b", "/c"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"$ref": {"type": "integer"}, "pattern": {"type": "integer"}}},
        {"enum": [{"$ref": "https://example.com/x", "pattern": "(?=a)"}]},
        {"default": {"$ref": "https://example.com/x"}},
    ],
)
def test_keywords_count_only_where_a_schema_stands(schema):
    assert lint(schema, arguments=False)[0] == []


def test_a_schema_that_cannot_be_compiled_names_its_findings():
    with pytest.raises(SchemaRefused) as refused:
        Validator({"type": "strin"})
    assert refused.value.findings == tuple(str(refused.value).split("; "))
    assert refused.value.findings[0].startswith("#/type: ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"maxLength": -1},
        {"properties": {"a": {"minimum": "1"}}},
        {"required": ["a", "a"]},
        {"$ref": 5},
        {"$anchor": "1"},
        {"definitions": {"a": {"type": "objec"}}},
        {"dependencies": {"a": 5}},
        {"$defs": {"a": 3}},
        {"multipleOf": 0},
        {"type": []},
        {"$vocabulary": {"x": 1}},
        {"minItems": 1.5},
    ],
)
def test_what_the_dialect_does_not_have_is_found_and_said(wrong):
    errors, _ = lint({**CLOSED, **wrong}, arguments=True)
    assert errors

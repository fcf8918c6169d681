"""The validator agrees with another implementation, and never says where a valid value fails."""

import jsonschema
import referencing
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.schemas import SchemaRefused, Validator, lint

NAMES = st.sampled_from(["a", "b", "c", "x-1"])
SMALL = st.integers(-3, 3)
SCALARS = st.none() | st.booleans() | SMALL | st.sampled_from([0.5, 1.5, "", "a", "ab", "xyz"])
INSTANCES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)


def schemas(inner):
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    keywords = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(INSTANCES, min_size=1, max_size=3),
        "const": INSTANCES,
        "minimum": SMALL,
        "exclusiveMaximum": SMALL,
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": COUNTS,
        "maxLength": COUNTS,
        "pattern": st.sampled_from(["^a", "b$", "[a-c]{2}", "x|y", "^$"]),
        "minItems": COUNTS,
        "maxItems": COUNTS,
        "uniqueItems": st.booleans(),
        "prefixItems": some,
        "items": inner,
        "contains": inner,
        "minContains": COUNTS,
        "maxContains": COUNTS,
        "unevaluatedItems": inner,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "minProperties": COUNTS,
        "maxProperties": COUNTS,
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "-"]), inner, max_size=2),
        "additionalProperties": inner,
        "unevaluatedProperties": inner,
        "propertyNames": inner,
        "dependentRequired": st.dictionaries(
            NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2
        ),
        "dependentSchemas": named,
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "$ref": st.just("#/$defs/d"),
    }
    pairs = st.sampled_from(sorted(keywords)).flatmap(
        lambda keyword: st.tuples(st.just(keyword), keywords[keyword])
    )
    return st.lists(pairs, min_size=1, max_size=4).map(dict)


SCHEMAS = st.recursive(
    st.booleans() | TYPES.map(lambda name: {"type": name}), schemas, max_leaves=8
).map(
    lambda schema: {
        "allOf": [schema],
        "$defs": {"d": {"type": ["string", "object"], "maxLength": 1}},
    }
)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, st.lists(INSTANCES, min_size=1, max_size=4))
def test_the_verdict_is_that_of_another_implementation(schema, instances):
    assert lint(schema, arguments=False)[0] == []
    validator = Validator(schema)
    oracle = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    for instance in instances:
        valid = oracle.is_valid(instance)
        assert validator.is_valid(instance) is valid
        assert (validator.violations(instance) == ()) is valid


ANYTHING = st.recursive(
    SCALARS | st.floats() | st.integers() | st.binary(max_size=3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "$id", "type", "properties", "pattern"]), inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_anything_is_linted_and_what_passes_compiles(schema):
    errors, _ = lint(schema, arguments=False)
    findings: tuple[str, ...] = ()
    try:
        Validator(schema)
    except SchemaRefused as refused:
        findings = refused.findings
    assert errors or not findings

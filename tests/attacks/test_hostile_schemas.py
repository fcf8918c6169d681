"""A manifest from elsewhere brings a schema; an agent brings the value that hurts most under it.

Each test's docstring is the attacker's plan; the assertion is why it fails.
"""

import socket

import pytest

from broker.core.schemas import SchemaRefused, Validator, lint

CLOSED = {"type": "object", "additionalProperties": False}


def errors(**keywords) -> list[str]:
    return lint({**CLOSED, **keywords}, arguments=True)[0]


def is_refused(schema) -> bool:
    try:
        Validator(schema)
    except SchemaRefused:
        return True
    return False


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/schema.json",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "//example.com/x",
        "other.json",
        "urn:example:x",
        "?x#/a",
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_a_reference_fetches_nothing(target, keyword):
    """The broker fetches an address inside its network, or a schema that changes later."""
    reference = {keyword: target}
    assert "leaves this schema" in errors(properties={"a": reference})[0]
    assert "leaves this schema" in errors(**{"$defs": {"unused": reference}})[0]
    assert is_refused(reference)


def test_checking_a_reference_does_not_follow_it():
    """The check of a reference is itself what fetches it, as the libraries do by default."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        reference = {"$ref": f"http://127.0.0.1:{listening.getsockname()[1]}/x"}
        assert errors(properties={"a": reference})
        assert is_refused(reference)
        with pytest.raises(BlockingIOError):  # nobody has knocked
            listening.accept()


def test_a_base_uri_cannot_turn_local_references_round():
    """`$id` makes `#/…` mean a place in another document, which was not the one reviewed."""
    assert "$id" in errors(**{"$id": "https://example.com/x"})[0]
    assert "$id" in errors(properties={"a": {"$id": "a", "$ref": "#/b", "b": {}}})[0]


def test_another_dialect_does_not_loosen_what_the_keywords_mean():
    """Under an older or an invented `$schema` a keyword that closes the object means nothing."""
    for dialect in ("http://json-schema.org/draft-07/schema#", "https://example.com/mine", ""):
        assert errors(**{"$schema": dialect})
        assert is_refused({"$schema": dialect})


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "(x+x+)+y", "^(.*a){20}$"]
)
def test_an_exponential_pattern_takes_linear_time(pattern):
    """A backtracking engine takes for ever over 50,000 letters and a mistake."""
    validator = Validator({**CLOSED, "properties": {"a": {"pattern": pattern}}})
    assert not validator.is_valid({"a": "a" * 50_000 + "!\n"})


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?P=n)", "("]
)
@pytest.mark.parametrize("place", ["pattern", "patternProperties"])
def test_a_pattern_that_needs_backtracking_is_refused(pattern, place):
    """Look-around and back-references need an engine of the other kind, and get it."""
    schema = {place: pattern if place == "pattern" else {pattern: {}}}
    assert errors(properties={"a": schema})
    assert is_refused(schema)


@pytest.mark.parametrize("pattern", ["((a{1000}){1000}){1000}", "\\p{L}{1000}", "a" * 1_001])
def test_a_pattern_that_compiles_to_gigabytes_is_refused(pattern):
    """Counted repetition multiplies: thirty characters are a thousand million states."""
    assert errors(properties={"a": {"type": "string", "pattern": pattern}})
    assert is_refused({"pattern": pattern})


def test_many_costly_patterns_are_refused_together():
    """Each pattern stays under its bound, and there are thousands of them."""
    schema = {f"p{n}": {"pattern": f"^a{{{n}}}$"} for n in range(101)}
    assert "patterns" in errors(properties=schema)[0]
    assert is_refused({"properties": schema})


def test_references_that_double_at_each_step_are_refused():
    """Forty definitions, each of which asks for the next one twice: 2^40 checks of the number 1."""
    step = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$defs": {**step, "d40": {"type": "integer"}}, "$ref": "#/$defs/d0"}
    assert "look at one value" in lint(schema, arguments=False)[0][0]
    assert is_refused(schema)


def test_doubling_is_found_below_properties_and_inside_a_recursive_schema():
    """The same, of what looks at a part of the value, or beside a recursion."""
    step = {
        f"d{n}": {"allOf": [{"properties": {"x": {"$ref": f"#/$defs/d{n + 1}"}}}] * 2}
        for n in range(20)
    }
    assert is_refused({"$defs": {**step, "d20": {}}, "$ref": "#/$defs/d0"})
    same = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}
    recursive = {"properties": {"again": {"$ref": "#"}}, "$ref": "#/$defs/d0"}
    assert is_refused({"$defs": {**same, "d20": {}}, **recursive})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$dynamicAnchor": "n", "anyOf": [{"$dynamicRef": "#n"}]},
    ],
)
def test_a_reference_that_leads_back_to_itself_is_refused(schema):
    """The checker follows it for ever, or stops and takes anything for valid."""
    assert "leads back to itself" in lint(schema, arguments=False)[0][0]
    assert is_refused(schema)


def test_explaining_a_failure_in_a_recursive_schema_takes_no_exponential_time():
    """The verdict is quick, but the reasons of two alternatives at 30 levels are 2^30."""
    level = {"properties": {"next": {"$ref": "#/$defs/level"}}}
    schema = {
        "$ref": "#/$defs/level",
        "$defs": {"level": {"anyOf": [{**level, "required": ["x"]}, {**level, "required": ["y"]}]}},
    }
    value: dict = {}
    for _ in range(30):
        value = {"next": value}
    assert len(Validator(schema).violations(value)) == 1


def test_explaining_a_failure_of_many_items_under_many_alternatives_is_not_attempted():
    """9,000 items that fail 50 alternatives are 450,000 reasons, of which ten would be read."""
    schema = {"items": {"anyOf": [{"type": "integer", "minimum": n} for n in range(50)]}}
    (violation,) = Validator(schema).violations(["x"] * 9_000)
    assert violation.message == "is not what the schema says"


def test_a_schema_that_repeats_itself_by_alias_is_not_unfolded():
    """A few YAML aliases, each a list of two of the one before, are 2^60 values when walked."""
    value: list = []
    for _ in range(60):
        value = [value, value]
    assert lint({"const": value}, arguments=False)[0] == ["#: has more than 10000 values"]
    assert is_refused({"const": value})


def test_a_schema_that_contains_itself_is_not_walked_for_ever():
    """A YAML alias to the mapping that it stands in."""
    knot: dict = {"type": "object"}
    knot["not"] = knot
    assert lint(knot, arguments=False)[0]
    assert is_refused(knot)


def test_a_schema_nested_without_end_reaches_no_recursive_checker():
    """A thousand times `not` is a stack overflow, which no handler catches, in whoever recurses."""
    schema: dict = {}
    for _ in range(3_000):
        schema = {"not": schema}
    assert lint(schema, arguments=False)[0] == ["#: is nested deeper than 64"]
    assert is_refused(schema)


def test_an_open_root_is_refused():
    """What the schema does not name reaches the tool unchecked."""
    assert lint({"type": "object", "properties": {"a": {}}}, arguments=True)[0]
    assert lint({"properties": {"a": {}}, "additionalProperties": False}, arguments=True)[0]


def test_a_finding_cannot_drive_a_terminal():
    """`tools check` prints the schema's own text, escape sequences included."""
    for schema in (
        {"type": "\x1b[2J"},
        {"pattern": "(?=\x1b[2J\u202e)"},
        {"properties": {"\x1b[2J\n": {"type": 1}}},
        {"$ref": "#/\x1b[2J"},
    ):
        found = lint(schema, arguments=False)[0]
        assert found
        assert all(text.isprintable() for text in found)

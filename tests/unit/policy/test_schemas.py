"""OPA's checker is given what it understands, and `policies/schemas` is what the code says."""

import json
import subprocess
import sys

import jsonschema
import pytest

from broker.core.question_schema import EXAMPLE, question_schema
from broker.policy.schemas import ToolSchemas, checkable, write_schemas
from broker.policy.sources import library_directory


def test_the_published_schema_is_fresh(tmp_path):
    subprocess.run([sys.executable, "-m", "broker.policy.schemas", tmp_path], check=True)
    published = (library_directory() / "schemas" / "input.json").read_bytes()
    assert published == (tmp_path / "input.json").read_bytes()


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(question_schema())


def test_the_example_is_a_question():
    jsonschema.validate(EXAMPLE, question_schema())


@pytest.mark.parametrize("part", sorted(EXAMPLE))
def test_every_part_of_a_question_is_needed(part):
    lacking = {name: value for name, value in EXAMPLE.items() if name != part}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(lacking, question_schema())


def test_the_checkers_schema_never_mixes_named_members_with_others():
    def visit(schema):
        if isinstance(schema, dict):
            if schema.get("properties"):
                assert schema.get("additionalProperties") is False or "type" not in schema
            assert not isinstance(schema.get("type"), list)
            for member in schema.values():
                visit(member)

    visit(question_schema(facts=["order"], counters=["refunds"]))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "pattern": "^x$"}, {"type": "string"}),
        ({"enum": ["EUR", "USD"]}, {"type": "string"}),
        ({"const": "EUR"}, {"type": "string"}),
        ({"enum": ["EUR", 1]}, {}),
        ({"type": ["string", "null"]}, {}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {}),
        (
            {"type": "array", "items": {"type": "integer"}},
            {"type": "array", "items": {"type": "integer"}},
        ),
        ({"type": "array", "prefixItems": [{"type": "integer"}]}, {"type": "array", "items": {}}),
        ({"type": "object"}, {"type": "object", "additionalProperties": True}),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": True},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/a"}},
                "$defs": {"a": {"type": "number"}},
            },
            {
                "type": "object",
                "properties": {"a": {"type": "number"}},
                "additionalProperties": False,
            },
        ),
        ({"$ref": "#"}, {}),
        ({"$ref": "#/$defs/none"}, {}),
        ({"$ref": "https://127.0.0.1/schema"}, {}),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {}),
    ],
)
def test_what_the_checker_cannot_express_becomes_anything(schema, expected):
    assert checkable(schema) == expected
    assert checkable(expected) == expected


def test_each_tool_has_a_place(tmp_path):
    write_schemas(
        tmp_path,
        {"refund": ToolSchemas(arguments={"type": "object"}, facts={"order": {"type": "object"}})},
    )
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json"))
    assert written == ["input.json", "tools/refund/arguments.json", "tools/refund/facts/order.json"]
    facts = json.loads((tmp_path / "input.json").read_text())["properties"]["facts"]
    assert list(facts["properties"]) == ["order"]


def test_a_tool_that_no_rule_names_has_no_file_and_its_facts_are_known_all_the_same(tmp_path):
    tools = {
        "refund": ToolSchemas(arguments={"type": "object"}),
        "other": ToolSchemas(arguments={"type": "object"}, facts={"order": {}}, counters=("day",)),
    }
    write_schemas(tmp_path, tools, named_in=b"# - input.call: schema.tools.refund.arguments")
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json"))
    assert written == ["input.json", "tools/refund/arguments.json"]
    facts = json.loads((tmp_path / "input.json").read_text())["properties"]["facts"]
    assert list(facts["properties"]) == ["order"]

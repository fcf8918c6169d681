"""A manifest that is broken is refused whole; one that was changed is another tool."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from broker.core.manifest import ManifestRefused, parse
from broker.tools.registry import RegistryRefused, build_registry
from broker.yaml_documents import YamlRefused, read_yaml
from tests.fakes.desk import document

CHANGES: dict[str, Any] = {
    "description": "Return money of an order to the method that it was paid with!",
    "summary": "Refund of order {/order_id}",
    "result": None,
    "output": {"trust": "untrusted", "sensitivity": "none"},
    "behaviour": {
        "read_only": True, "destructive": False, "idempotent": True, "open_world": False
    },
    "targets": [],
    "payload": None,
    "scopes": [{"name": "refunds:write"}],
    "limits": None,
    "exclusive": None,
    "deadline_s": 11,
    "review": None,
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_any_change_is_another_revision(key):
    """A refund waits for a person. Before they approve I have the manifest changed a little, so
    that what they approved is no longer what runs, under the digest that they were shown."""
    assert parse(document(**{key: CHANGES[key]})).revision != parse(document()).revision


def test_every_leaf_counts_for_the_revision():
    """As before, deep inside: one word of a schema, one letter of a query."""
    revisions = {parse(document()).revision}
    parsed = 0
    for changed in _changed_one_by_one(document()):
        try:
            revisions.add(parse(changed).revision)
        except ManifestRefused:
            continue
        parsed += 1
    assert parsed >= 20
    assert len(revisions) == parsed + 1


def _changed_one_by_one(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in _paths(given):
        changed: Any = copy.deepcopy(given)
        place = changed
        for token in path[:-1]:
            place = place[token]
        value = place[path[-1]]
        if isinstance(value, bool):
            place[path[-1]] = not value
        elif isinstance(value, int | float):
            place[path[-1]] = value + 1
        else:
            place[path[-1]] = f"{value} "
        yield changed


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for token, member in members:
        if isinstance(member, dict | list):
            yield from ((token, *rest) for rest in _paths(member))
        else:
            yield (token,)


@pytest.mark.parametrize(
    "text",
    [
        b"name: refund\nname: harmless\n",
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        b"name: !!python/object/apply:os.system ['true']\n",
        b"scopes: []\n---\nscopes: [{name: a}]\n",
        b"{" * 100_000,
        b"a: " + b"x" * 1_000_000,
    ],
)
def test_yaml_that_two_readers_see_apart_or_that_blows_up_is_refused(text):
    """I write a manifest of which the reviewer's editor shows one thing and the broker reads
    another, or that runs code, or that fills memory when it is read."""
    with pytest.raises(YamlRefused):
        read_yaml(text)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": False, "$ref": "https://evil.test/s.json"},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"a": {"$ref": "file:///x"}},
        },
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"a": {"type": "string", "pattern": "^(?=a+)(a+)+$"}},
        },
        {"type": "object"},
        True,
    ],
)
def test_a_schema_that_reaches_out_or_lets_anything_in_is_refused(schema):
    """I register a tool whose schema is fetched from my server, or whose pattern hangs."""
    given = {
        "name": "x",
        "description": "x",
        "summary": "x",
        "arguments": schema,
        "scopes": [{"name": "x:use"}],
    }
    with pytest.raises(ManifestRefused):
        parse(given)


def test_a_broken_manifest_lets_none_of_its_neighbours_in():
    """I break one file, so that the rest is loaded without the tool's limits."""
    broken = document(name="other", limits={"refunds": {"per": "moon"}})
    with pytest.raises(RegistryRefused):
        build_registry([("a.yaml", document()), ("b.yaml", broken)])


@pytest.mark.parametrize("scopes", [[], None, [{}], [{"name": ""}], {"name": "a"}, "a"])
def test_no_manifest_goes_without_a_scope(scopes):
    """I leave the scopes out: then there is nothing to lack."""
    with pytest.raises(ManifestRefused):
        parse(document(scopes=scopes))

"""The page on manifests names every field, and each example is a manifest."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.core.manifest import parse, warnings
from broker.core.manifest_schema import manifest_schema
from broker.yaml_documents import read_yaml

PAGE = (Path(__file__).parents[3] / "docs" / "manifest.md").read_text(encoding="utf-8")


def _names(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties", {})
    yield from properties
    for below in (*properties.values(), schema.get("additionalProperties"), schema.get("items")):
        yield from _names(below)


EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["in_a_worker", "in_a_sandbox", "settled"])
def test_each_example_is_a_manifest_without_warnings(example: str):
    document, first = read_yaml(example.encode()), read_yaml(EXAMPLES[0].encode())
    assert isinstance(document, dict)
    assert isinstance(first, dict)
    # What is no whole manifest is a part of the first one.
    whole = document if "name" in document else {**first, **document}
    assert warnings(parse(whole)) == ()


def test_every_field_is_named():
    missing = {name for name in _names(manifest_schema()) if not re.search(rf"\b{name}\b", PAGE)}
    assert missing == set()

"""YAML that means one thing: JSON's values only, no key twice, no anchors, nothing evaluated.

YAML readers keep the last of two equal keys and let a few lines of aliases grow to gigabytes; in a
file of rules' parameters both would be a hole, so both are refused.
"""

import math
from collections.abc import Hashable
from typing import Any

import yaml

from broker.core.arguments import JsonValue
from broker.core.limits import INTEGER_MAX

DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
DOCUMENT_DEPTH_MAX = 64


class DocumentRefused(ValueError):
    """Not a document of ours; `str()` says why and, where known, on which line."""


def parse_yaml(data: bytes) -> JsonValue:
    """Read one YAML document as a JSON value (null for an empty one).

    Raises:
        DocumentRefused: malformed, a key twice, an alias, a value that JSON lacks, an integer
            beyond 2^53-1, too large or too deep.
    """
    if len(data) > DOCUMENT_BYTES_MAX:
        raise DocumentRefused(f"larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        value = yaml.load(data.decode("utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise DocumentRefused("not UTF-8") from error
    except yaml.YAMLError as error:
        raise DocumentRefused(_sentence(error)) from error
    except (ValueError, RecursionError) as error:
        raise DocumentRefused("a value that JSON does not have, or nested too deeply") from error
    _require_json(value, depth=0)
    checked: JsonValue = value
    return checked


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "aliases are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is not text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _sentence(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return "not YAML"


def _require_json(value: object, *, depth: int) -> None:
    if depth > DOCUMENT_DEPTH_MAX:
        raise DocumentRefused("nested too deeply")
    if isinstance(value, dict):
        value = list(value.values())
    match value:
        case list():
            for item in value:
                _require_json(item, depth=depth + 1)
        case None | bool() | str():
            return
        case int():
            if abs(value) > INTEGER_MAX:
                raise DocumentRefused("an integer beyond 2^53-1: write it as text")
        case float():
            if not math.isfinite(value):
                raise DocumentRefused("a number that is not finite")
        case _:
            raise DocumentRefused(f"a {type(value).__name__}, which JSON does not have: quote it")

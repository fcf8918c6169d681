"""YAML is read as JSON written comfortably: its types alone, nothing that two readers see apart.

No tags, no aliases (a few lines of them grow to gigabytes), no duplicate keys, no keys that are not
strings, no `yes`, no dates, no number that JSON readers see apart. Any of these is an error with
its line, never a guess. Manifests, parameters, presets and cases are all read here.
"""

import math
import re
from collections.abc import Hashable
from typing import Any, Final

import yaml
from yaml.composer import Composer

from broker.core.arguments import JsonValue
from broker.core.limits import INTEGER_MAX, MANIFEST_BYTES_MAX, SCHEMA_DEPTH_MAX


class YamlRefused(ValueError):
    """The text is no such document; `str()` says where and why."""


def read_yaml(text: bytes, *, bytes_max: int = MANIFEST_BYTES_MAX) -> JsonValue:
    """Read one document.

    Args:
        text: UTF-8.
        bytes_max: longer is refused.

    Raises:
        YamlRefused: with the line where there is one.
    """
    if len(text) > bytes_max:
        raise YamlRefused(f"longer than {bytes_max} bytes")
    try:
        loader = _JsonLoader(text.decode("utf-8"))
        try:
            document: JsonValue = loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError:
        raise YamlRefused("not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise YamlRefused(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlRefused(str(error).partition("\n")[0]) from None
    return document


class _JsonLoader(Composer, yaml.CSafeLoader):
    """The safe loader with JSON's types and no aliases (YAML 1.2's core schema, nearly).

    Libyaml makes the events, which is most of the work; what is made of them is looked at here.
    """

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases are not taken: write it out", event)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _problem("tags are not taken", event)
        self.depth += 1
        if self.depth > 2 * SCHEMA_DEPTH_MAX:
            raise _problem("nested too deeply", event)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = int(node.value)
        if abs(value) > INTEGER_MAX:
            raise _problem("an integer beyond 2^53-1: write it as text", node)
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = float(node.value)
        if not math.isfinite(value):
            raise _problem("a number that is not finite: write it as text", node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _problem("a key is a string: put it in quotes", key)
            if key.value in seen:
                raise _problem(f"the key {key.value} is there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _problem(what: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, where.start_mark)


_RESOLVED: Final = (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    (
        "float",
        r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)",
        list("-0123456789"),
    ),
)
for _name, _pattern, _first in _RESOLVED:
    _JsonLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
    )
_JsonLoader.add_constructor("tag:yaml.org,2002:int", _JsonLoader.construct_yaml_int)
_JsonLoader.add_constructor("tag:yaml.org,2002:float", _JsonLoader.construct_yaml_float)

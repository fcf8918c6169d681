"""YAML is read as JSON written comfortably: plain values, no aliases, no tags, no key twice.

`yes` is a string and not a truth, 010 is one and not eight, so that a schema which asks for another
type refuses them. What is not read is an error with its line.
"""

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

BYTES_MAX: Final = 1 << 20
_DEPTH_MAX: Final = 64


class YamlRefused(ValueError):
    """The text is no such document; `str` says where and why."""


def read_yaml(text: bytes, *, bytes_max: int = BYTES_MAX) -> Any:
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
        return yaml.load(text.decode(), Loader=_Loader)  # noqa: S506 - a SafeLoader, and less
    except UnicodeDecodeError:
        raise YamlRefused("not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise YamlRefused(f"{where}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise YamlRefused(str(error).partition("\n")[0]) from None


class _Loader(yaml.SafeLoader):
    """The safe loader with JSON's types alone."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _problem("an alias: write it out", event)
        if getattr(event, "tag", None) not in {None, "!"}:
            raise _problem("a tag: plain values alone are read", event)
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise _problem("nested too deeply", event)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _problem("a key is a string: put it in quotes", key)
            if key.value in seen:
                raise _problem(f"the key {key.value} is there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _problem(what: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, where.start_mark)


for _name, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]{0,15})", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]{1,15}", list("-0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
    )

"""What counts as less is the tool's own word, and nothing else about the call changes."""

from typing import Any

import pytest

from broker.core.errors import MalformedRequest
from broker.core.manifest import ToolManifest, parse
from broker.core.narrowing import narrow

LINE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"count": {"type": "integer"}, "tags": {"type": "array", "items": {}}},
}
TOOL = {
    "name": "send",
    "description": "Send.",
    "summary": "Send",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "to": {"type": "array", "items": {}},
            "amount_minor": {"type": "integer"},
            "rate": {"type": "number"},
            "lines": {"type": "array", "items": LINE},
            "a/b": {"type": "object", "additionalProperties": False,
                    "properties": {"~": {"type": "integer"}}},
            "note": {"type": "string"},
        },
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "scopes": [{"name": "payments:write"}],
    "review": {
        "narrowing": {
            "/to": "subset",
            "/amount_minor": "smaller",
            "/rate": "smaller",
            "/lines": "subset",
            "/lines/0/count": "smaller",
            "/lines/0/tags": "subset",
            "/a~1b/~0": "smaller",
        }
    },
}  # fmt: skip
ASKED: dict[str, Any] = {
    "to": ["a", "b", "a", 1, True],
    "amount_minor": 5_500,
    "rate": 2.5,
    "lines": [{"count": 3, "tags": ["x", "y"]}, {"count": 4, "tags": []}],
    "a/b": {"~": 7},
    "note": "as it is",
}


@pytest.fixture(scope="module")
def manifest() -> ToolManifest:
    return parse(TOOL)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/amount_minor", 5_499),
        ("/amount_minor", 0),
        ("/to", ["a"]),
        ("/to", ["a", "a", True]),
        ("/to", [1]),
        ("/lines", [{"count": 4, "tags": []}]),
        ("/lines/0/count", 2),
        ("/lines/0/tags", ["y"]),
    ],
)
def test_less_is_less_and_the_rest_is_as_it_was(
    manifest: ToolManifest, pointer: str, value: Any
) -> None:
    before = {**ASKED}
    narrowed = narrow(manifest, ASKED, {pointer: value})
    top = pointer.split("/")[1]
    assert {k: v for k, v in narrowed.items() if k != top} == {
        k: v for k, v in ASKED.items() if k != top
    }
    assert narrowed[top] != ASKED[top]
    assert before == ASKED


def test_a_pointer_with_escapes_names_what_it_says(manifest: ToolManifest) -> None:
    assert narrow(manifest, ASKED, {"/a~1b/~0": 6})["a/b"] == {"~": 6}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/amount_minor", 5_500),
        ("/amount_minor", 5_501),
        ("/amount_minor", -1),
        ("/amount_minor", 10**400),
        ("/amount_minor", False),
        ("/amount_minor", 1.0),
        ("/amount_minor", "1"),
        ("/amount_minor", None),
        ("/amount_minor", [1]),
        ("/rate", 1),
        ("/rate", 2.0),
        ("/to", []),
        ("/to", ["a", "b", "a", 1, True]),
        ("/to", ["b", "b"]),
        ("/to", ["b", "a", "a"]),
        ("/to", ["a", "a", "a"]),
        ("/to", ["c"]),
        ("/to", [True, 1]),
        ("/to", [["a"]]),
        ("/to", "a"),
        ("/to", {"0": "a"}),
        ("/to/0", "b"),
        ("/note", ""),
        ("/lines", [{"count": 1, "tags": []}]),
        ("/lines", [{"count": 3, "tags": ["x"]}]),
        ("/lines/1/count", 1),
        ("/lines/00/count", 1),
        ("/lines/-/count", 1),
        ("/lines/0/count/0", 1),
        ("/missing", 1),
        ("", {}),
        ("amount_minor", 1),
        ("/amount_minor ", 1),
        ("/Amount_minor", 1),
        ("#/amount_minor", 1),
        ("/a/b/~0", 1),
        ("/a~1b/~", 1),
        ("/a~1b", {"~": 1}),
    ],
)
def test_what_is_not_less_as_the_tool_says_is_refused(
    manifest: ToolManifest, pointer: str, value: Any
) -> None:
    with pytest.raises(MalformedRequest) as refused:
        narrow(manifest, ASKED, {pointer: value})
    assert refused.value.metadata["pointer"] == pointer


def test_one_change_that_is_not_less_refuses_all(manifest: ToolManifest) -> None:
    with pytest.raises(MalformedRequest):
        narrow(manifest, ASKED, {"/amount_minor": 1, "/to": ["c"]})


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_within_something_else_that_is_less_is_refused_in_either_order(
    manifest: ToolManifest, order: int
) -> None:
    changes: dict[str, Any] = {"/lines": [{"count": 4, "tags": []}], "/lines/0/count": 2}
    with pytest.raises(MalformedRequest, match="within"):
        narrow(manifest, ASKED, dict([*changes.items()][::order]))


def test_a_number_in_another_spelling_stays_as_it_was_asked(manifest: ToolManifest) -> None:
    (left,) = narrow(manifest, ASKED, {"/to": [1.0]})["to"]
    assert type(left) is int


def test_several_are_made_less_at_once(manifest: ToolManifest) -> None:
    changes: dict[str, Any] = {
        "/amount_minor": 1,
        "/to": ["b"],
        "/lines/0/count": 0,
        "/lines/0/tags": ["x"],
    }
    narrowed = narrow(manifest, ASKED, changes)
    assert narrowed == {
        **ASKED,
        "amount_minor": 1,
        "to": ["b"],
        "lines": [{"count": 0, "tags": ["x"]}, {"count": 4, "tags": []}],
    }


def test_nothing_is_no_less(manifest: ToolManifest) -> None:
    with pytest.raises(MalformedRequest):
        narrow(manifest, ASKED, {})

"""A pattern in a rule is a constant, fits from the first character to the last, and means ASCII."""

from typing import Final

from broker.policy.syntax import Node, place

_WHOLE: Final = ("regex.match",)
_PATTERN_AT: Final = {"regex.replace": 1, "regex.globs_match": 0}
_SHORTHANDS: Final = ("\\w", "\\W", "\\d", "\\D", "\\s", "\\S", "\\b", "\\B")


def pattern_problem(name: str, given: list[Node]) -> str:
    """What is wrong with the pattern of a call, or nothing.

    Args:
        name: of the built-in.
        given: its arguments.
    """
    position = _PATTERN_AT.get(name, 0)
    if position >= len(given):
        return ""
    pattern = given[position]
    if pattern.get("type") != "string":
        return "a pattern is a constant: one from data or from the question fits what it likes"
    text = str(pattern["value"])
    if name == "glob.match":
        return _glob_problem(text, given[1])
    if name in _WHOLE and not _is_anchored(text):
        return f"{place(pattern).text} is not anchored: begin with ^ and end with $, around all"
    if any(shorthand in text for shorthand in _SHORTHANDS) or "\\p" in text:
        return f"{place(pattern).text}: write classes out in ASCII, [A-Za-z0-9_]"
    return ""


def _glob_problem(text: str, delimiters: Node) -> str:
    if delimiters.get("type") != "array" or not delimiters["value"]:
        return 'a glob states its separator, such as ["/"]: else * fits across all of it'
    if "**" in text:
        return f"{text}: ** fits across separators"
    return ""


def _is_anchored(text: str) -> bool:
    """Begins with `^`, ends with `$`, and no alternative stands outside of brackets."""
    if not text.startswith("^") or not text.endswith("$") or text.endswith("\\$"):
        return False
    depth, is_class, is_escaped = 0, False, False
    for character in text:
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif is_class:
            is_class = character != "]"
        elif character == "[":
            is_class = True
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "|" and depth == 0:
            return False
    return "(?m" not in text

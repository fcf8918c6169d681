"""A schema decides offline, and in time that is bounded before it sees a value.

jsonschema-rs gives the verdict (draft 2020-12, formats asserted, regular expressions in linear
time, nothing ever fetched). `lint` is what a schema must pass before a tool may have it;
`Validator` refuses by itself whatever could not be checked safely.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Final

import jsonschema
import jsonschema_rs
import referencing

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes
from broker.core.limits import JSON_NODES_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX
from broker.core.pointers import Pointer
from broker.core.schema_graph import SchemaGraph, cost, graph, has_at_most, is_within_depth
from broker.core.text import visible
from broker.core.violations import VIOLATIONS_MAX, Violation, worded

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PATTERN_CHARACTERS_MAX: Final = 1_000
PATTERN_PROGRAM_BYTES_MAX: Final = 4 * 1024 * 1024
PATTERNS_MAX: Final = 100
# How many subschemas may come to look at one value.
SCHEMA_VISITS_MAX: Final = 1_000
# Looks at values in all. Collecting failures costs some 15 us for each, all of them before one is
# seen, and exponentially much in a recursive schema; past this it is not attempted.
EXPLAINED_VISITS_MAX: Final = 10_000


class SchemaRefused(ValueError):
    """This schema cannot be checked safely. `findings` says why, a sentence each."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class Validator:
    """A schema, compiled once. Safe to share between threads.

    Values are what `core.arguments` returns. Of other values only this holds: a string with a lone
    surrogate is never valid; NaN fails no bound, and has no canonical form.
    """

    __slots__ = ("_compiled", "_visits")

    def __init__(self, schema: object, *, formats: bool = True) -> None:
        """Compile.

        Args:
            schema: any draft 2020-12 schema without references to other documents.
            formats: whether `format` is asserted, as for everything that tools take and give; the
                draft's own default is that it says nothing.

        Raises:
            SchemaRefused: it is no such schema, or too large, too deep or too costly to check.
        """
        findings = _shape_findings(schema)
        if findings:
            raise SchemaRefused(tuple(findings))
        walked = graph(schema) if isinstance(schema, dict) else None
        findings = _safety_findings(walked) if walked else []
        if findings:
            raise SchemaRefused(tuple(findings))
        bound = cost(walked) if walked else None
        self._visits = bound.in_all if bound else 1
        try:
            self._compiled = jsonschema_rs.Draft202012Validator(
                schema,  # type: ignore[arg-type]
                validate_formats=formats,
                offline=True,
                pattern_options=_LINEAR,
                mask="[value]",
            )
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise SchemaRefused((_compile_finding(error),)) from None

    @property
    def is_compiled(self) -> bool:
        """Whether it can be used at once."""
        return True

    def compile(self) -> None:
        """Make it so that it can."""

    def is_valid(self, value: JsonValue) -> bool:
        """Whether the value is what the schema says."""
        try:
            return self._compiled.is_valid(value)
        except ValueError:  # a lone surrogate, or an integer that no JSON number holds
            return False

    def violations(self, value: JsonValue) -> tuple[Violation, ...]:
        """Say where and why a value fails, at most `VIOLATIONS_MAX` times; () if it is valid.

        Where telling would cost too much, one violation says only that it fails.
        """
        if self.is_valid(value):
            return ()
        if self._visits is None or not has_at_most(value, EXPLAINED_VISITS_MAX // self._visits):
            return (Violation("", "is not what the schema says"),)
        try:
            errors = list(self._compiled.iter_errors(value))
        except ValueError:
            return (Violation("", "holds a string or number that JSON cannot carry"),)
        return worded(errors)


def lint(schema: object, *, arguments: bool) -> tuple[list[str], list[str]]:
    """Judge a schema before a tool may have it.

    Args:
        schema: what the manifest says.
        arguments: whether it is for a call's arguments, which must be a closed object.

    Returns:
        Errors, with any of which the schema must not be used, and warnings: parts that only the
        global bounds of `core.limits` bound. Each begins with its place, such as `#/properties`.
    """
    errors = _shape_findings(schema)
    if errors:
        return errors, []
    if not isinstance(schema, dict):
        return _root_findings(schema) if arguments else [], []
    errors = _canonical_findings(schema) or _dialect_findings(schema)
    if errors:
        return errors, []
    walked = graph(schema)
    errors = [*_safety_findings(walked), *_reference_findings(walked), *_regex_findings(walked)]
    if arguments:
        errors += _root_findings(schema)
    if not errors:
        try:
            Validator(schema)
        except SchemaRefused as refused:
            errors += refused.findings
    return errors, list(_warnings(walked))


# An engine without look-around and back-references, in time linear in the text (RE2's syntax).
_LINEAR: Final = jsonschema_rs.RegexOptions(size_limit=PATTERN_PROGRAM_BYTES_MAX)
# The registry holds the dialect itself and can fetch nothing.
_META: Final = jsonschema.Draft202012Validator(
    jsonschema.Draft202012Validator.META_SCHEMA, registry=referencing.Registry()
)
# Says the same of a good schema in a hundredth of the time, and words nothing.
_QUICK_META: Final = jsonschema_rs.Draft202012Validator(
    jsonschema.Draft202012Validator.META_SCHEMA, offline=True
)


def _shape_findings(schema: object) -> list[str]:
    """Whether it is finite JSON of bounded size at all, before anything looks into it."""
    if not isinstance(schema, dict | bool):
        return [_finding("", "a schema is an object, true or false")]
    if not has_at_most(schema, JSON_NODES_MAX):  # also what YAML aliases blow up, or tie in a knot
        return [_finding("", f"has more than {JSON_NODES_MAX} values")]
    if not is_within_depth(schema, SCHEMA_DEPTH_MAX):
        return [_finding("", f"is nested deeper than {SCHEMA_DEPTH_MAX}")]
    try:
        size_bytes = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError):
        return [_finding("", "is not JSON")]
    if size_bytes > SCHEMA_BYTES_MAX:
        return [_finding("", f"is longer than {SCHEMA_BYTES_MAX} bytes")]
    return []


def _safety_findings(walked: SchemaGraph) -> list[str]:
    """What `Validator` insists upon, whether or not anybody linted."""
    findings = []
    for place, subschema in walked.places.items():
        dialect = subschema.get("$schema", DIALECT)
        if not isinstance(dialect, str) or dialect.removesuffix("#") != DIALECT:
            findings.append(_finding(place, f"$schema is not {DIALECT}"))
    patterns = {pattern for _, pattern in _patterns(walked)}
    if len(patterns) > PATTERNS_MAX:
        findings.append(_finding("", f"has more than {PATTERNS_MAX} different patterns"))
    if any(len(pattern) > PATTERN_CHARACTERS_MAX for pattern in patterns):
        findings.append(_finding("", f"a pattern is longer than {PATTERN_CHARACTERS_MAX}"))
    bound = cost(walked)
    if bound is None:
        findings.append(_finding("", "a reference leads back to itself on the same value"))
    elif max(bound.at_once, bound.in_all or 0) > SCHEMA_VISITS_MAX:
        findings.append(_finding("", f"more than {SCHEMA_VISITS_MAX} subschemas look at one value"))
    return findings


def _canonical_findings(schema: dict[str, JsonValue]) -> list[str]:
    try:
        canonical_bytes(schema)
    except ValueError as error:
        return [_finding("", str(error))]
    return []


def _dialect_findings(schema: object) -> list[str]:
    try:
        if _QUICK_META.is_valid(schema):
            return []
    except ValueError:
        pass  # an integer that no JSON number holds: the other one finds words for it
    try:
        errors = list(itertools.islice(_META.iter_errors(schema), VIOLATIONS_MAX))
    except RecursionError:
        return [_finding("", "is nested too deeply to be checked")]
    return [
        _finding(str(Pointer(tuple(map(str, error.absolute_path)))), error.message)
        for error in errors
    ]


def _reference_findings(walked: SchemaGraph) -> Iterator[str]:
    for place, subschema in walked.places.items():
        for keyword in ("$ref", "$dynamicRef"):
            target = subschema.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                yield _finding(place, f"{keyword} leaves this schema; copy what it names to $defs")
        if "$id" in subschema:
            yield _finding(place, "$id moves what references are relative to; leave it out")


def _regex_findings(walked: SchemaGraph) -> Iterator[str]:
    for place, pattern in _patterns(walked):
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            continue  # found already, and not worth compiling
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_LINEAR)
        except ValueError:
            reason = "look-around, back-reference, bad syntax; or too large: use maxLength"
            yield _finding(place, f"a pattern is outside RE2 ({reason}): {pattern}")


def _root_findings(schema: object) -> list[str]:
    if not isinstance(schema, dict) or schema.get("type") not in ("object", ["object"]):
        return [_finding("", "arguments are an object: say type: object")]
    closed = ("additionalProperties", "unevaluatedProperties")
    if not any(schema.get(keyword) is False for keyword in closed):
        return [_finding("", "arguments are closed: say additionalProperties: false")]
    return []


def _warnings(walked: SchemaGraph) -> Iterator[str]:
    for place, subschema in walked.places.items():
        types = subschema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if not subschema.keys() - _ANNOTATIONS and place:
            yield _finding(place, "accepts any value")
        if subschema.keys() & {"enum", "const"} or not isinstance(types, list):
            continue
        if "string" in types and not _bounds_strings(subschema):
            yield _finding(place, "strings have no maxLength")
        if "array" in types and "maxItems" not in subschema and subschema.get("items") is not False:
            yield _finding(place, "arrays have no maxItems")
        if "object" in types and "maxProperties" not in subschema and _is_open(subschema):
            yield _finding(place, "objects admit any number of properties")
        name = subschema.get("format")
        if isinstance(name, str) and name not in _FORMATS:
            yield _finding(place, "this format is not known, so it checks nothing")


_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"$comment", "$anchor", "$defs"}
)
_FORMATS: Final = frozenset(
    {"date", "date-time", "duration", "time", "uuid", "regex"}
    | {"email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6"}
    | {"uri", "uri-reference", "uri-template", "iri", "iri-reference"}
    | {"json-pointer", "relative-json-pointer"}
)
_UNBOUNDED_REPETITION: Final = re.compile(r"[*+]|,\}")


def _bounds_strings(subschema: dict[str, JsonValue]) -> bool:
    pattern = subschema.get("pattern")
    if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
        return "maxLength" in subschema or not _UNBOUNDED_REPETITION.search(pattern)
    return "maxLength" in subschema or subschema.get("format") in ("date", "date-time", "uuid")


def _is_open(subschema: dict[str, JsonValue]) -> bool:
    if "patternProperties" in subschema:
        return True
    closed = ("additionalProperties", "unevaluatedProperties")
    return not any(subschema.get(keyword) is False for keyword in closed)


def _patterns(walked: SchemaGraph) -> Iterator[tuple[str, str]]:
    for place, subschema in walked.places.items():
        pattern = subschema.get("pattern")
        if isinstance(pattern, str):
            yield place, pattern
        named = subschema.get("patternProperties")
        yield from ((place, name) for name in (named if isinstance(named, dict) else ()))


def _finding(place: str, message: str) -> str:
    return visible(f"#{place}: {message}", characters_max=400)


def _compile_finding(error: Exception) -> str:
    path = getattr(error, "instance_path", [])
    message = str(getattr(error, "message", error))
    return _finding(str(Pointer(tuple(map(str, path)))), message.partition("\n")[0])

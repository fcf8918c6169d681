"""A case is read whole or refused with its line: one that means nothing would prove nothing.

A case's question is the file's `given` and then its own, laid as merge patches over a question
that asks for nothing; its family's parameters are those of the bundle, patched likewise. A member
that no question has is a finding: misspelt, it would leave the case to test something else.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema
import yaml

from broker.core.arguments import JsonValue
from broker.core.question_schema import EXAMPLE, question_schema
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.patches import merge_patch
from broker.policy.sources import SOURCE_BYTES_MAX, library_directory
from broker.yaml_documents import YamlRefused, read_yaml

SUFFIX: Final = "_cases.yaml"
_PARAMETERS: Final = "parameters/data.json"
_SILENT: Final = frozenset({"then", "else"})  # of the form: whether an effect goes with the codes
# For lines alone, and four times as fast where PyYAML was built with libyaml.
_LINES_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TablesRefused(ValueError):
    """These tables are not of the agreed form.

    Attributes:
        findings: one sentence each, with file and line.
    """

    def __init__(self, findings: list[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a case expects of its family alone.

    Attributes:
        effect: the strictest, DENY, HOLD or ALLOW; None where the family is silent.
        codes: all that have this effect, sorted.
        hold: terms that each HOLD must have.
        obligations: all of them, in any order; None where they do not matter.
    """

    effect: str | None
    codes: tuple[str, ...]
    hold: Mapping[str, JsonValue] = field(default_factory=dict)
    obligations: tuple[JsonValue, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a table.

    Attributes:
        family: that is judged.
        name: one sentence.
        file: its table's path in the bundle.
        line: where it begins there, from 1.
        question: the whole policy input.
        parameters: all of `data.parameters`.
        expected: what the family must say.
    """

    family: str
    name: str
    file: str
    line: int
    question: JsonValue
    parameters: JsonValue
    expected: Expected


def read_cases(bundle: PolicyBundle) -> list[Case]:
    """Every case that lies beside a bundle's rules, in the order of files and lines.

    Raises:
        TablesRefused: with every finding of all tables.
    """
    parameters: JsonValue = json.loads(bundle.files[_PARAMETERS])
    found: list[Case] = []
    findings: list[str] = []
    for path in sorted(path for path in bundle.files if path.endswith(SUFFIX)):
        try:
            found += _read(path, bundle.files[path], parameters=parameters)
        except TablesRefused as refused:
            findings += refused.findings
    if findings:
        raise TablesRefused(findings)
    return found


def _read(path: str, data: bytes, *, parameters: JsonValue) -> Iterator[Case]:
    try:
        table = read_yaml(data, bytes_max=SOURCE_BYTES_MAX)
    except YamlRefused as refused:
        raise TablesRefused([f"{path}: {refused}"]) from refused
    lines = _lines(data)
    findings = list(_findings(path, table, lines))
    if findings or not isinstance(table, dict):
        raise TablesRefused(findings)
    family = path.split("/")[2]
    base = merge_patch(EXAMPLE, table.get("given", {}))
    shared = _patched(parameters, family, table.get("parameters", {}))
    return iter(
        [
            Case(
                family=family,
                name=case["case"],
                file=path,
                line=line,
                question=merge_patch(base, case.get("given", {})),
                parameters=_patched(shared, family, case.get("parameters", {})),
                expected=_expected(case["expect"]),
            )
            for case, line in zip(_items(table), lines, strict=True)
        ]
    )


def _patched(parameters: JsonValue, family: str, patch: JsonValue) -> JsonValue:
    return merge_patch(parameters, {family: patch}) if patch else parameters


def _expected(told: dict[str, Any]) -> Expected:
    obligations = told.get("obligations")
    return Expected(
        effect=told.get("effect"),
        codes=tuple(sorted(told["codes"])),
        hold=told.get("hold", {}),
        obligations=None if obligations is None else tuple(obligations),
    )


def _findings(path: str, table: JsonValue, lines: list[int]) -> Iterator[str]:
    """What is wrong with a table, in the order of its lines; nothing where it can be read."""
    errors = sorted(_form().iter_errors(table), key=lambda error: [*map(str, error.path)])
    for error in _causes(errors):
        match [*error.path]:
            case ["cases", int(number), *_]:
                yield f"{path}:{lines[number]}: {_sentence(error)}"
            case _:
                yield f"{path}:1: {_sentence(error)}"
    if errors or not isinstance(table, dict):
        return
    known = question_schema()
    for name in _unknown(table.get("given", {}), known):
        yield f"{path}:1: given: no question has {name}"
    seen: set[str] = set()
    for case, line in zip(_items(table), lines, strict=True):
        for name in _unknown(case.get("given", {}), known):
            yield f"{path}:{line}: given: no question has {name}"
        if case["case"] in seen:
            yield f"{path}:{line}: a second case of this name: {case['case']}"
        seen.add(case["case"])


def _unknown(patch: JsonValue, schema: JsonValue, pointer: str = "") -> Iterator[str]:
    """Pointers to members that the schema's closed objects do not have."""
    if not isinstance(patch, dict) or not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    others = schema.get("additionalProperties", True)
    for name, value in patch.items():
        here = f"{pointer}/{name}"
        if isinstance(properties, dict) and name in properties:
            yield from _unknown(value, properties[name], here)
        elif others is False:
            yield here
        else:
            yield from _unknown(value, others, here)


def _items(table: dict[str, JsonValue]) -> list[dict[str, Any]]:
    items: Any = table["cases"]
    rows: list[dict[str, Any]] = items
    return rows


def _lines(data: bytes) -> list[int]:
    """The line of each item of `cases`. `read_yaml` has taken the text: it has no aliases."""
    root = yaml.compose(data.decode("utf-8"), Loader=_LINES_LOADER)
    if not isinstance(root, yaml.MappingNode):
        return []
    for key, value in root.value:
        if key.value == "cases" and isinstance(value, yaml.SequenceNode):
            return [item.start_mark.line + 1 for item in value.value]
    return []


def _form() -> jsonschema.Draft202012Validator:
    text = (library_directory() / "schemas" / "cases.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _causes(errors: list[jsonschema.ValidationError]) -> Iterator[jsonschema.ValidationError]:
    """Of what is wrong in one place the first cause: a misspelt key is a missing one, too."""
    of_place: dict[tuple[str | int, ...], list[jsonschema.ValidationError]] = {}
    for error in errors:
        of_place.setdefault(tuple(error.path), []).append(error)
    for found in of_place.values():
        first = min(map(_rank, found))
        yield from (error for error in found if _rank(error) == first)


def _rank(error: jsonschema.ValidationError) -> int:
    if error.validator == "additionalProperties":
        return 0
    return 1 if _SILENT.isdisjoint(error.schema_path) else 2


def _sentence(error: jsonschema.ValidationError) -> str:
    if error.validator == "additionalProperties":
        form: Any = error.schema
        table: Any = error.instance
        known = list(form["properties"])
        return "; ".join(_unknown_key(name, known) for name in table if name not in known)
    if "then" in error.schema_path:
        return "expect: leave effect out where codes is []"
    if "else" in error.schema_path:
        return "expect: add the effect that these codes have"
    return _short(error.message)


def _unknown_key(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"no such key as {_short(name)}; {meant}There are {', '.join(known)}"


def _short(sentence: str) -> str:
    most = 200
    return sentence if len(sentence) <= most else sentence[:most] + "…"

"""Rego that lets things through by what it does not say is refused, with its file and line.

OPA's checker knows types; it does not know that a rule which is undefined denies nothing, that a
pattern without ends fits anything, or that an agent would choose its own reviewer. These findings
stop a policy from coming into force. How rules should read (formatting, length, names, effects that
only deny, comparisons that may be skipped) is `style`, which `callbroker policy check` alone minds.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from broker.core.arguments import JsonValue
from broker.policy import opa_command
from broker.policy.absence import (
    Found,
    Judged,
    assigned,
    empty_passes,
    judged,
    negated_calls,
    ordered_with_missing,
    unequal_to_missing,
)
from broker.policy.patterns import pattern_problem
from broker.policy.schemas import ToolSchemas
from broker.policy.syntax import (
    Node,
    arguments,
    called,
    members,
    name_of,
    nodes,
    path_of,
    place,
    rules,
    trees,
)

LINES_MAX: Final = 120
_CONTRIBUTED: Final = frozenset({"verdicts", "obligations", "tightens_only"})
_EFFECTS: Final = frozenset({"ALLOW", "HOLD", "DENY"})
_TOOL: Final = "input.call.tool"
_MADE: Final = frozenset({"var", "ref", "call"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What rules may read by name.

    Attributes:
        parameters: by family, its data.
        documented: by family, the parameters that its annotation describes, set or not.
        counters: of the tools that are known; None where no tool is.
    """

    parameters: Mapping[str, JsonValue]
    documented: Mapping[str, frozenset[str]] = field(default_factory=dict)
    counters: frozenset[str] | None = None


def traps(modules: Mapping[str, Node], declared: Declared) -> list[str]:
    """What must not come into force.

    Args:
        modules: the trees of those to judge, by their path in the bundle.
        declared: what they may read.

    Returns:
        `file:line: sentence`, in the order of the files.
    """
    return _told(modules, [*_CHECKS, lambda one: _undeclared(one.rule, declared)])


def trap_findings(
    opa: Path,
    files: Mapping[str, bytes],
    *,
    library: Path,
    tools: Mapping[str, ToolSchemas],
) -> list[str]:
    """The traps in an operator's own modules; the shipped ones are judged before they are shipped.

    Args:
        opa: the pinned binary.
        files: of a bundle, by their path in it; they compile.
        library: the shipped library.
        tools: what rules may read of each registered tool.

    Raises:
        CommandRefused: a module is no Rego.
        PolicyUnavailable: OPA cannot be run.
    """
    own = trees(opa, own_modules(files, library=library))
    documented: dict[str, frozenset[str]] = {}
    for file, tree in own.items():
        family = PurePosixPath(file).parent.name
        documented[family] = documented.get(family, frozenset()) | documented_parameters(tree)
    parameters = json.loads(files["parameters/data.json"])
    counters = frozenset(counter for tool in tools.values() for counter in tool.counters)
    declared = Declared(
        parameters=parameters, documented=documented, counters=counters if tools else None
    )
    return traps(own, declared)


def own_modules(files: Mapping[str, bytes], *, library: Path) -> dict[str, bytes]:
    """The modules that decide and that the library does not have."""
    return {
        path: data
        for path, data in files.items()
        if path.endswith(".rego")
        and not path.endswith("_test.rego")
        and not (library / path).is_file()
    }


def style(opa: Path, modules: Mapping[str, bytes]) -> list[str]:
    """How these modules should read otherwise: `file:line: sentence` each.

    Raises:
        CommandRefused: one is no Rego.
        PolicyUnavailable: OPA cannot be run.
    """
    found: list[str] = []
    read = trees(opa, modules)
    for file, data in modules.items():
        if row := _first_difference(data, opa_command.formatted(opa, data)):
            found.append(f"{file}:{row}: not as `opa fmt` sets it")
        if (count := len(data.splitlines())) > LINES_MAX:
            found.append(f"{file}:{LINES_MAX + 1}: {count} lines, more than {LINES_MAX}")
        if file.startswith("broker/rules/"):
            found += _named(file, read[file])
    families = {file: tree for file, tree in read.items() if file.startswith("broker/rules/")}
    return [*found, *_described(read), *_told(families, _STYLE_CHECKS)]


def _told(modules: Mapping[str, Node], checks: Iterable[Callable[[Judged], Found]]) -> list[str]:
    """What checks find in the rules of modules, in the order of files and lines."""
    found: set[tuple[str, int, str]] = set()
    for file, tree in modules.items():
        folder = file.rpartition("/")[0]
        siblings = [other for path, other in modules.items() if path.rpartition("/")[0] == folder]
        for one in judged(tree, siblings):
            for check in checks:
                found |= {(file, place(node).row, told) for node, told in check(one)}
    return [f"{file}:{row}: {told}" for file, row, told in sorted(found)]


def documented_parameters(tree: Node) -> frozenset[str]:
    """The parameters that a package's annotation describes (`custom: {parameters: …}`)."""
    names: set[str] = set()
    for annotation in tree.get("annotations", ()):
        told = (annotation.get("custom") or {}).get("parameters")
        if annotation.get("scope") == "package" and isinstance(told, dict):
            names |= told.keys()
    return frozenset(names)


def _patterns(one: Judged) -> Found:
    """A pattern without ends fits whatever contains what was meant."""
    for node in nodes([one.rule["body"], one.rule["head"]]):
        name = called(node) if "terms" in node or node.get("type") == "call" else ""
        if name.startswith("regex.") or name == "glob.match":
            problem = pattern_problem(name, arguments(node))
            if problem:
                yield node, problem


def _defaults(one: Judged) -> Found:
    """What nothing was said of must not come out as allowed."""
    if one.rule.get("default"):
        value = one.rule["head"].get("value", {})
        if value.get("value") is True or any(node.get("value") == "ALLOW" for node in nodes(value)):
            yield one.rule, "a default is what stands where no rule holds: it may not allow"


def _constants(one: Judged) -> Found:
    """Codes and messages are constants, and the agent does not choose who reviews it."""
    for node in nodes(one.rule["head"]):
        told = members(node)
        if "effect" not in told:
            continue
        for name in ("code", "message"):
            if name in told and told[name].get("type") in _MADE:
                yield told[name], f"the {name} of a verdict is a constant"
        if "hold" in told and (source := _from_question(told["hold"], one.rule)):
            yield told["hold"], f"who decides a hold must not come from {source}"


def _effects(one: Judged) -> Found:
    """A misspelt effect is a denial of whatever it is said of, and says so to the caller alone."""
    for node in nodes([one.rule.get("body"), one.rule["head"]]):
        told = members(node)
        effect = told.get("effect", {})
        if "code" not in told or not effect or effect.get("type") in _MADE:
            continue
        if effect.get("type") != "string" or effect["value"] not in _EFFECTS:
            wrong = place(effect).text
            yield effect, f"{wrong} is no effect, and only denies: write ALLOW, HOLD or DENY"


def _from_question(term: Node, rule: Node) -> str:
    """The part of the question that a term is made of, at first or second hand.

    Which tool is called is no such part: a constant for each tool is a constant.
    """
    local = assigned(rule)
    for node in nodes(term):
        for part in [node, *nodes(local.get(path_of(node), {}))]:
            path = path_of(part) if part.get("type") == "ref" else ""
            if path.partition(".")[0] == "input" and path != _TOOL:
                return path
    return ""


def _undeclared(rule: Node, declared: Declared) -> Found:
    """A parameter or counter that nothing declares is undefined for ever."""
    for node in nodes([rule.get("body"), rule.get("head")]):
        if node.get("type") != "ref":
            continue
        match path_of(node).split("."):
            case ["data", "parameters", family, *rest]:
                if not _is_parameter(family, rest, declared):
                    name = ".".join([family, *rest[:1]])
                    yield node, f"nothing declares the parameter data.parameters.{name}"
            case ["input", "usage", counter, *_]:
                if declared.counters is not None and counter not in declared.counters:
                    yield node, f"no tool's manifest has a limit {counter}"
            case _:
                pass


def _is_parameter(family: str, rest: Sequence[str], declared: Declared) -> bool:
    own = declared.parameters.get(family)
    known = frozenset(own) if isinstance(own, dict) else frozenset[str]()
    known |= declared.documented.get(family, frozenset())
    return rest[0] in known if rest else bool(known) or isinstance(own, dict)


_CHECKS: Final[Iterable[Callable[[Judged], Found]]] = (
    negated_calls,
    empty_passes,
    unequal_to_missing,
    _patterns,
    _defaults,
    _constants,
)
_STYLE_CHECKS: Final[Iterable[Callable[[Judged], Found]]] = (_effects, ordered_with_missing)


def _first_difference(data: bytes, wanted: bytes) -> int:
    """The first line that differs, from 1; 0 where none does."""
    if data == wanted:
        return 0
    pairs = zip(data.splitlines(), wanted.splitlines(), strict=False)
    return next((row for row, (one, other) in enumerate(pairs, 1) if one != other), 1)


def _named(file: str, tree: Node) -> Iterable[str]:
    for rule in rules(tree):
        name = name_of(rule)
        if name not in _CONTRIBUTED and not name.startswith("_"):
            yield f"{file}:{place(rule).row}: {name} is a helper: its name begins with _"


def _described(read: Mapping[str, Node]) -> Iterable[str]:
    """Each family says what it is for."""
    described: dict[str, bool] = {}
    for file, tree in read.items():
        folder = file.rpartition("/")[0]
        described[folder] = described.get(folder, False) or any(
            annotation.get("title") and annotation.get("description")
            for annotation in tree.get("annotations", ())
            if annotation.get("scope") == "package"
        )
    return [
        f"{folder}: the package has no METADATA with a title and a description"
        for folder, is_described in described.items()
        if not is_described
    ]

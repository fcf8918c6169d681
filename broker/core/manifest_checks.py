"""What a schema cannot say of a manifest: what it names is there, what it does is no surprise.

Everything is told at once, each with a JSON Pointer into the manifest and what to do. A reference
that a schema leaves open to doubt is let pass here: at run time it is MISSING, which denies.
"""

import graphlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from broker.core import manifest_structure, schemas, statements, summary, urls
from broker.core.arguments import JsonValue
from broker.core.caller_word import CALLER, runner_advice
from broker.core.canonical import canonical_bytes
from broker.core.known import CALLER_MEMBERS, EACH, RESERVED
from broker.core.limits import EXCLUSIVE_KEYS_MAX, MANIFEST_BYTES_MAX
from broker.core.pointers import Missing, Pointer, Reference
from broker.core.previews import PREVIEW_SUFFIX
from broker.core.reconcile_section import reconcile_findings
from broker.core.sandbox_section import section_findings
from broker.core.schema_paths import declares, described, requires, types_of

# Its structure is checked before anything is read from it.
_Document: TypeAlias = Mapping[str, Any]

_INDEX: Final = re.compile(r"0|[1-9][0-9]*")
_RUNNER: Final = "worker"
_AVAILABLE_RUNNERS: Final = (_RUNNER, "sandbox", CALLER)


def findings(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Every problem that keeps a document from being a manifest; empty where there is none."""
    # Nothing else can be read from a document that has another structure.
    return _form(document) or tuple(dict.fromkeys((*_schemas(document), *_beside(document))))


def findings_beside_schemas(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """As `findings`, but for what is wrong within a schema."""
    return _form(document) or tuple(dict.fromkeys(_beside(document)))


def schema_findings(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """What is wrong within the schemas of a document without other findings."""
    return tuple(_schemas(document))


def _form(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    try:
        size = len(canonical_bytes(dict(document)))
    except ValueError as error:
        return (f": {error} Write JSON values alone, integers up to 2^53 - 1.",)
    if size > MANIFEST_BYTES_MAX:
        return (f": make it smaller: {size} bytes, at most {MANIFEST_BYTES_MAX}",)
    return tuple(manifest_structure.findings(document))


def _beside(document: _Document) -> Iterator[str]:
    yield from _facts(document)
    yield from _arguments(document)
    yield from _references(document)
    yield from _execution(document)


def advice(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """What is allowed, and worth a second look."""
    given: _Document = document
    behaviour = given.get("behaviour", {})
    _, loose = schemas.lint(given["arguments"], arguments=True)
    found = [_below("/arguments", warning) for warning in loose]
    if "result" not in given:
        found.append("/result: undeclared, so any JSON within the size limit is released")
    acts = not behaviour.get("read_only") or behaviour.get("open_world", True)
    if acts and given["arguments"].get("properties"):
        found.extend(
            f"/{name}: undeclared, so every argument counts as one"
            for name in ("targets", "payload")
            if name not in given
        )
    bound = {
        Reference.parse(side).root
        for scope in given["scopes"]
        for pair in scope.get("where", {}).items()
        for side in pair
    }
    found.extend(
        f"/facts/{name}/absent: a scope needs this fact, so that an absent row is denied anyway"
        for name, fact in given.get("facts", {}).items()
        if name in bound and fact.get("absent", "DENY") != "DENY"
    )
    found.extend(runner_advice(document))
    return tuple(found)


def _schemas(document: _Document) -> Iterator[str]:
    yield from _linted("/arguments", document["arguments"], arguments=True)
    if "result" in document:
        yield from _linted("/result", document["result"])
    for name, fact in document.get("facts", {}).items():
        yield from _linted(f"/facts/{name}/shape", fact["shape"])


def _linted(at: str, schema: JsonValue, *, arguments: bool = False) -> Iterator[str]:
    errors, _ = schemas.lint(schema, arguments=arguments)
    yield from (_below(at, error) for error in errors)


def _below(at: str, finding: str) -> str:
    """A finding's pointer begins at the schema, whose root it writes as a slash."""
    return f"{at}{finding[1:] if finding.startswith('/:') else finding}"


def _facts(document: _Document) -> Iterator[str]:
    facts: Mapping[str, _Document] = document.get("facts", {})
    for name, fact in facts.items():
        at = f"/facts/{name}"
        if name in RESERVED:
            yield f"{at}: choose another name: {name}# has a meaning of its own"
        yield from _look_up(at, fact)
        yield from _for_each(at, fact)
        for parameter, reference in fact.get("parameters", {}).items():
            yield from _reference(
                f"{at}/parameters/{parameter}", reference, document, each="for_each" in fact
            )
        if "for_each" in fact:
            yield from _reference(f"{at}/for_each", fact["for_each"], document)
    order = graphlib.TopologicalSorter(
        {name: _roots(fact) & facts.keys() for name, fact in facts.items()},
    )
    try:
        order.prepare()
    except graphlib.CycleError as error:
        yield f"/facts: break the circle {' <- '.join(error.args[1])}"


def _look_up(at: str, fact: _Document) -> Iterator[str]:
    given = set(fact.get("parameters", {}))
    if "sql" in fact:
        yield from (f"{at}/sql: {finding}" for finding in statements.findings(fact["sql"]))
        wanted = set(statements.parameters(fact["sql"]))
        if fact.get("rows") == "many" and "absent" in fact:
            yield f"{at}/absent: leave it out: with rows: many nothing found is an empty list"
    else:
        for key in {"rows", "rows_max"} & fact.keys():
            yield f"{at}/{key}: leave it out: it is for sql"
        try:
            wanted = set(urls.UrlTemplate.parse(fact["url"]).names)
        except ValueError as error:
            yield f"{at}/url: {error}"
            return
    yield from (f"{at}/parameters: bind {name}, which is used" for name in sorted(wanted - given))
    yield from (f"{at}/parameters/{name}: it is not used" for name in sorted(given - wanted))


def _for_each(at: str, fact: _Document) -> Iterator[str]:
    if "for_each" not in fact:
        if "items_max" in fact:
            yield f"{at}/items_max: leave it out: it is for for_each"
        return
    if fact.get("rows") == "many":
        yield f"{at}/rows: one row per element; for more, use an array parameter (IN :ids)"
    if not any(_root(r) == EACH for r in fact.get("parameters", {}).values()):
        yield f"{at}/parameters: bind one to each#, the element that the look-up is for"


def _arguments(document: _Document) -> Iterator[str]:
    schema = document["arguments"]
    for key in ("targets", "payload"):
        for index, pointer in enumerate(document.get(key, ())):
            yield from _pointer(f"/{key}/{index}", pointer, schema)
    for index, given in enumerate(document.get("exclusive", ())):
        text = given if isinstance(given, str) else given["value"]
        yield from _exclusive(f"/exclusive/{index}", text, schema)
    files = document.get("sandbox", {}).get("files", {})
    for index, pointer in enumerate(files.get("in", ())):
        yield from _pointer(f"/sandbox/files/in/{index}", pointer, schema)
    for name, limit in document.get("limits", {}).items():
        for key in {"sum", "currency"} & limit.keys():
            yield from _pointer(f"/limits/{name}/{key}", limit[key], schema)
        if "sum" in limit and not _is_integer(limit["sum"], schema):
            yield f"/limits/{name}/sum: point to an integer: amounts are in minor units"
    review = document.get("review", {})
    for key in ("beside", "narrowing"):
        for pointer in review.get(key, {}):
            yield from _pointer(f"/review/{key}/{_escaped(pointer)}", pointer, schema)


def _exclusive(at: str, text: str, schema: JsonValue) -> Iterator[str]:
    wrong = list(_pointer(at, text, schema))
    yield from wrong
    if wrong:
        return
    pointer = Pointer.parse(text)
    if not requires(schema, pointer):
        yield f"{at}: make {text} a required argument: a call without it would exclude nothing"
    value = described(schema, pointer)
    if isinstance(value, dict) and "array" in types_of(value):
        most = value.get("maxItems")
        if not isinstance(most, int) or most > EXCLUSIVE_KEYS_MAX:
            yield f"{at}: give {text} maxItems of at most {EXCLUSIVE_KEYS_MAX}"


def _references(document: _Document) -> Iterator[str]:
    for index, scope in enumerate(document["scopes"]):
        yield from _pairs(f"/scopes/{index}/where", scope.get("where", {}), document)
    review = document.get("review", {})
    yield from _pairs("/review/money", review.get("money", {}), document)
    for pointer, shown in review.get("beside", {}).items():
        for index, reference in enumerate(shown):
            yield from _reference(
                f"/review/beside/{_escaped(pointer)}/{index}", reference, document
            )
    try:
        for piece in summary.pieces(document["summary"]):
            if isinstance(piece, Reference):
                yield from _reference("/summary", str(piece), document)
    except ValueError as error:
        yield f"/summary: {error}"


def _execution(document: _Document) -> Iterator[str]:
    runner = document.get("runner", _RUNNER)
    if runner not in _AVAILABLE_RUNNERS:
        there = " or ".join(_AVAILABLE_RUNNERS)
        yield f"/runner: {runner} is not available yet; write {there}"
    yield from section_findings(document)
    yield from _preview(document, runner)
    yield from reconcile_findings(document)
    behaviour = document.get("behaviour", {})
    if behaviour.get("read_only") and behaviour.get("destructive"):
        yield "/behaviour: say either read_only or destructive: what only reads destroys nothing"
    if behaviour.get("read_only") and document.get("stores", {}).get("writes"):
        yield "/stores/writes: a tool that is read_only writes no store: correct one of the two"


def _preview(document: _Document, runner: str) -> Iterator[str]:
    if document["name"].endswith(PREVIEW_SUFFIX):
        yield f"/name: choose another name: what ends in {PREVIEW_SUFFIX} is a tool's preview"
    if "preview" not in document.get("review", {}):
        return
    if runner != _RUNNER:
        yield "/review/preview: leave it out: only workers tell beforehand what would change"
    if document.get("behaviour", {}).get("read_only"):
        yield "/review/preview: leave it out: a tool that is read_only changes nothing"


def _pairs(at: str, pairs: Mapping[str, str], document: _Document) -> Iterator[str]:
    for left, right in pairs.items():
        for side in (left, right):
            yield from _reference(f"{at}/{_escaped(left)}", side, document)


def _pointer(at: str, text: str, schema: JsonValue) -> Iterator[str]:
    try:
        pointer = Pointer.parse(text)
    except ValueError as error:
        yield f"{at}: {error}"
        return
    if not declares(schema, pointer):
        yield f"{at}: {text} is no argument of this tool"


def _reference(at: str, text: str, document: _Document, *, each: bool = False) -> Iterator[str]:
    try:
        reference = Reference.parse(text)
    except ValueError as error:
        yield f"{at}: {error}"
        return
    root, pointer = reference.root, reference.pointer
    facts = document.get("facts", {})
    if not root:
        yield from _pointer(at, text, document["arguments"])
    elif root in CALLER_MEMBERS:
        if not pointer.tokens or pointer.tokens[0] not in CALLER_MEMBERS[root]:
            members = ", ".join(f"{root}#/{member}" for member in sorted(CALLER_MEMBERS[root]))
            yield f"{at}: {text} is not known of a call; there are {members}"
    elif root == EACH:
        if not each:
            yield f"{at}: each# is for the parameters of a fact with for_each"
    elif root not in facts:
        yield f"{at}: {root} is no fact of this tool; declared: {', '.join(facts) or 'none'}"
    elif not _in_shape(facts[root], pointer):
        yield f"{at}: {text} is not in the shape of {root}; declare it there"


def _in_shape(fact: _Document, pointer: Pointer) -> bool:
    several = fact.get("rows") == "many" or "for_each" in fact
    if several and pointer.tokens and _INDEX.fullmatch(pointer.tokens[0]):
        pointer = Pointer(pointer.tokens[1:])
    return declares(fact["shape"], pointer)


def _is_integer(text: str, schema: JsonValue) -> bool:
    try:
        value = described(schema, Pointer.parse(text))
    except ValueError:
        return True  # told already
    return isinstance(value, Missing) or (
        isinstance(value, dict) and types_of(value) == {"integer"}
    )


def _roots(fact: _Document) -> set[str]:
    texts: Iterable[str] = (*fact.get("parameters", {}).values(), fact.get("for_each", ""))
    return {_root(text) for text in texts}


def _root(text: str) -> str:
    return "" if text.startswith("/") else text.partition("#")[0]


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")

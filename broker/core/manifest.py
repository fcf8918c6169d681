"""A tool is what its manifest says, and a manifest is named by its content.

Any change, of a word in a description even, is another revision, under which nothing that was
approved before counts. What a manifest does not say is assumed at its most dangerous: it writes,
destroys, must not be repeated, reaches outside, and its output is nobody's to trust.

`parse` takes a mapping of JSON values (the YAML is `tools.registry`'s) and gives types that cannot
be wrong, or every problem at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from broker.core.arguments import JsonValue
from broker.core.canonical import digest
from broker.core.labels import Sensitivity, Trust
from broker.core.limits import FACT_DEADLINE_S, FACT_ITEMS_MAX, SANDBOX_FILES_BYTES
from broker.core.manifest_checks import advice, findings, findings_beside_schemas
from broker.core.pointers import Pointer, Reference
from broker.core.reconcile_section import ReconcileSpec, parse_section
from broker.core.summary import leaves

Rows = Literal["one", "many"]
Absent = Literal["DENY", "HOLD", "NULL"]
Per = Literal["principal", "agent", "session", "tool"]

DEADLINE_S: Final = 30.0
PROFILE: Final = "strict"
PRINCIPAL: Final = "principal"
ROWS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a result may carry."""

    trust: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The named stores that a tool reads and writes (`core.stores`); None where it does not say."""

    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """MCP's hints, but stated by the operator."""

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSpec:
    """One look-up in a system of record.

    Attributes:
        sql, url: one of them; the other is empty.
        rows: `many` gives a list of rows, of which there may be none.
        rows_max: with `many`, more rows are an error.
        for_each: an array; one look-up per element, and the value is a list in its order.
        items_max: with `for_each`, a longer array is an error.
        absent: what it means that there is no such row.
        shape: JSON Schema of one row, or of the body of an HTTP answer.
    """

    name: str
    source: str
    sql: str = ""
    url: str = ""
    parameters: Mapping[str, Reference] = field(default_factory=dict)
    rows: Rows = "one"
    rows_max: int = ROWS_MAX
    for_each: Reference | None = None
    items_max: int = FACT_ITEMS_MAX
    absent: Absent = "DENY"
    deadline_s: float = FACT_DEADLINE_S
    shape: dict[str, JsonValue]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Everything that must be known before this can be looked up."""
        return (*self.parameters.values(), *((self.for_each,) if self.for_each else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRequirement:
    """A scope that must be held; each left side of `where` must equal its right side."""

    name: str
    where: Mapping[Reference, Reference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A floor on how often, or how much.

    Attributes:
        window_s: length of the sliding window, seconds.
        sum: where it points is added up, instead of calls counted.
        currency: sums are kept apart by this value.
        maximum: calls, or the sum, in one window.
    """

    name: str
    per: Per
    window_s: int
    sum: Pointer | None = None
    currency: Pointer | None = None
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusiveKey:
    """Of one value there, only one effect is under way at a time, across every tool that says so.

    Attributes:
        name: of the key; the pointer without its first slash, unless `as` says otherwise.
    """

    name: str
    pointer: Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """What reviewers are shown, and what they may change.

    Attributes:
        money: integers in minor units, to the ISO 4217 currency of each.
        beside: facts to show next to an argument.
        narrowing, preview: as given.
    """

    money: Mapping[Reference, Reference] = field(default_factory=dict)
    beside: Mapping[Pointer, tuple[Reference, ...]] = field(default_factory=dict)
    narrowing: Mapping[Pointer, str] = field(default_factory=dict)
    preview: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a tool of `runner: sandbox` runs in.

    Attributes:
        image: "sha256:" and 64 hexadecimal digits; a tag would not say what runs.
        profile: name of the isolation that it gets at least; policy may only tighten it.
        files_in: arguments whose values name artefacts, a text or a list of texts each; they are
            handed over as files, in this order.
        files_out_max, files_out_bytes_max: how many files may come back, and bytes of them all.
    """

    image: str
    profile: str = PROFILE
    files_in: tuple[Pointer, ...] = ()
    files_out_max: int = 0
    files_out_bytes_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolManifest:
    """What may be called and what bounds it.

    Attributes:
        summary: template of the line that people read (`core.summary`).
        targets, payload: who is reached and what is carried; None where undeclared, and then, on a
            tool that writes or reaches outside, every argument counts as both (`reached`).
        output: as the operator says it; what counts is `RegisteredTool.output`.
        scopes: at least one.
        sandbox: with `runner: sandbox`, and never without.
        deadline_s: seconds that one attempt may take.
        reconcile: whom to ask whether a call took effect; None where nobody can say.
        document: as given; `revision` is its digest.
    """

    name: str
    description: str
    summary: str
    arguments: dict[str, JsonValue]
    result: dict[str, JsonValue] | bool | None = None
    output: Output = Output()
    stores: Stores = Stores()
    behaviour: Behaviour = Behaviour()
    targets: tuple[Pointer, ...] | None = None
    payload: tuple[Pointer, ...] | None = None
    facts: Mapping[str, FactSpec] = field(default_factory=dict)
    scopes: tuple[ScopeRequirement, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    exclusive: tuple[ExclusiveKey, ...] = ()
    runner: str = "worker"
    sandbox: SandboxSpec | None = None
    deadline_s: float = DEADLINE_S
    review: ReviewView = ReviewView()
    reconcile: ReconcileSpec | None = None
    document: Mapping[str, JsonValue]
    revision: str


class ManifestRefused(ValueError):
    """The manifest has problems; `findings` has them all, each with where and what to do."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def parse(document: Mapping[str, JsonValue]) -> ToolManifest:
    """Read a manifest.

    Args:
        document: JSON values alone. It is kept and must not change afterwards.

    Raises:
        ManifestRefused: with every problem found.
    """
    if found := findings(document):
        raise ManifestRefused(found)
    return _read(document)


def reread(document: Mapping[str, JsonValue]) -> ToolManifest:
    """As `parse`, of one that was parsed when it was put in force: schemas are taken as they are.

    Whoever uses them looks at them first (`core.compiling`).
    """
    if found := findings_beside_schemas(document):
        raise ManifestRefused(found)
    return _read(document)


def _read(document: Mapping[str, JsonValue]) -> ToolManifest:
    given: Mapping[str, Any] = document
    behaviour = dict(given.get("behaviour", {}))
    # What changes nothing destroys nothing; everything else destroys until it is said not to.
    behaviour.setdefault("destructive", not behaviour.get("read_only", False))
    optional = {key: given[key] for key in ("result", "runner", "deadline_s") if key in given}
    return ToolManifest(
        name=given["name"],
        description=given["description"],
        summary=given["summary"],
        arguments=given["arguments"],
        output=Output(**given.get("output", {})),
        stores=_stores(given.get("stores", {})),
        behaviour=Behaviour(**behaviour),
        targets=_pointers(given.get("targets")),
        payload=_pointers(given.get("payload")),
        facts={name: _fact(name, fact) for name, fact in given.get("facts", {}).items()},
        scopes=tuple(_scope(scope) for scope in given["scopes"]),
        limits={name: _limit(name, limit) for name, limit in given.get("limits", {}).items()},
        exclusive=tuple(_exclusive(key) for key in given.get("exclusive", ())),
        sandbox=_sandbox(given["sandbox"]) if "sandbox" in given else None,
        review=_review(given.get("review", {})),
        reconcile=parse_section(given["reconcile"]) if "reconcile" in given else None,
        document=document,
        revision=digest(dict(document)),
        **optional,
    )


def warnings(manifest: ToolManifest) -> tuple[str, ...]:
    """What is allowed, and worth a second look, with where."""
    return advice(manifest.document)


def reached(manifest: ToolManifest, arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Pointers to who or what a call reaches; undeclared where it may do harm, every leaf."""
    return _declared_or_all(manifest, manifest.targets, arguments)


def carried(manifest: ToolManifest, arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Pointers to what a call carries there; undeclared where it may do harm, every leaf."""
    return _declared_or_all(manifest, manifest.payload, arguments)


def bound(manifest: ToolManifest) -> tuple[str, ...]:
    """Pointers to arguments that a scope binds to the principal, themselves or by what they select.

    A call whose fact says that it is somebody else's never comes to policy (`core.floor`).
    """
    found: dict[str, None] = {}
    for scope in manifest.scopes:
        for sides in scope.where.items():
            if PRINCIPAL not in {side.root for side in sides}:
                continue
            for side in sides:
                fact = manifest.facts.get(side.root)
                selecting = (side,) if fact is None else fact.references
                found.update((str(one.pointer), None) for one in selecting if not one.root)
    return tuple(found)


def _declared_or_all(
    manifest: ToolManifest,
    declared: tuple[Pointer, ...] | None,
    arguments: Mapping[str, JsonValue],
) -> tuple[str, ...]:
    if declared is not None:
        return tuple(str(pointer) for pointer in declared)
    if manifest.behaviour.read_only and not manifest.behaviour.open_world:
        return ()
    return tuple(pointer for pointer, _ in leaves(arguments))


def _fact(name: str, given: Mapping[str, Any]) -> FactSpec:
    rest = {key: value for key, value in given.items() if key not in {"parameters", "for_each"}}
    return FactSpec(
        name=name,
        parameters={k: Reference.parse(v) for k, v in given.get("parameters", {}).items()},
        for_each=Reference.parse(given["for_each"]) if "for_each" in given else None,
        **rest,
    )


def _stores(given: Mapping[str, Sequence[str]]) -> Stores:
    return Stores(**{key: tuple(names) for key, names in given.items()})


def _scope(given: Mapping[str, Any]) -> ScopeRequirement:
    return ScopeRequirement(name=given["name"], where=_pairs(given.get("where", {})))


def _limit(name: str, given: Mapping[str, Any]) -> Limit:
    return Limit(
        name=name,
        per=given["per"],
        window_s=int(given["window_s"]),
        sum=Pointer.parse(given["sum"]) if "sum" in given else None,
        currency=Pointer.parse(given["currency"]) if "currency" in given else None,
        maximum=int(given["maximum"] if "sum" in given else given["calls"]),
    )


def _exclusive(given: str | Mapping[str, Any]) -> ExclusiveKey:
    if isinstance(given, str):
        return ExclusiveKey(name=given[1:], pointer=Pointer.parse(given))
    return ExclusiveKey(name=given["as"], pointer=Pointer.parse(given["value"]))


def _sandbox(given: Mapping[str, Any]) -> SandboxSpec:
    files: Mapping[str, Any] = given.get("files", {})
    out: Mapping[str, Any] = files.get("out", {})
    return SandboxSpec(
        image=given["image"],
        profile=given.get("profile", PROFILE),
        files_in=tuple(Pointer.parse(text) for text in files.get("in", ())),
        files_out_max=int(out.get("max", 0)),
        files_out_bytes_max=int(out.get("bytes_max", SANDBOX_FILES_BYTES)) if out else 0,
    )


def _review(given: Mapping[str, Any]) -> ReviewView:
    return ReviewView(
        money=_pairs(given.get("money", {})),
        beside={
            Pointer.parse(pointer): tuple(Reference.parse(r) for r in shown)
            for pointer, shown in given.get("beside", {}).items()
        },
        narrowing={Pointer.parse(p): how for p, how in given.get("narrowing", {}).items()},
        preview=given.get("preview"),
    )


def _pairs(given: Mapping[str, str]) -> Mapping[Reference, Reference]:
    return {Reference.parse(left): Reference.parse(right) for left, right in given.items()}


def _pointers(given: Sequence[str] | None) -> tuple[Pointer, ...] | None:
    return None if given is None else tuple(Pointer.parse(text) for text in given)

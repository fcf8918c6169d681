"""Each leaf of a held call beside what the broker looked up about it.

Values are exact: the canonical JSON that will run, and next to it the same for people where the
manifest says that it is money. Nothing is cut and nothing is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Session, ToolCall
from broker.core.canonical import canonical_bytes
from broker.core.known import Known
from broker.core.manifest import ReviewView, ToolManifest
from broker.core.pointers import Missing, Pointer, Reference
from broker.core.summary import leaves, render


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUpView:
    """A fact that bears on an argument. `rendered` is empty where the JSON says it best."""

    reference: str
    value_json: str
    rendered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentView:
    """One leaf of the arguments, by JSON Pointer.

    Attributes:
        provenance: where its value comes from, in policy's words; empty where nobody looked.
        origins: invocations, facts or sources of the directory that have it.
        narrowing: how a reviewer may make it less; empty where they may not.
    """

    pointer: str
    value_json: str
    rendered: str
    provenance: str
    looked_up: tuple[LookedUpView, ...]
    origins: tuple[str, ...] = ()
    narrowing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a call was decided on, as it was recorded."""

    facts: Mapping[str, Fact] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def recorded_of(contents: Mapping[str, JsonValue]) -> Recorded:
    """The facts and origins of the question to policy; nothing where it is erased or was spared."""
    question = contents.get("question")
    if not isinstance(question, Mapping):
        return Recorded()
    traced = _members(question, "provenance")
    return Recorded(
        facts={
            name: Fact(
                name=name,
                source=str(fact.get("source", "")),
                value=fact.get("value"),
                error=str(fact.get("error", "")),
                absent=fact.get("absent") is True,
            )
            for name, fact in _members(question, "facts").items()
        },
        sources={at: str(origin.get("source", "")) for at, origin in traced.items()},
        origins={at: _texts(origin.get("from")) for at, origin in traced.items()},
    )


def _members(question: Mapping[str, JsonValue], name: str) -> dict[str, Mapping[str, JsonValue]]:
    found = question.get(name)
    if not isinstance(found, Mapping):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, Mapping)}


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def argument_views(
    manifest: ToolManifest | None,
    arguments: Mapping[str, JsonValue],
    recorded: Recorded,
    session: Session | None = None,
) -> tuple[ArgumentView, ...]:
    """Every leaf of the arguments in order, with the facts that the manifest sets beside it."""
    known = Known(arguments=arguments, facts=recorded.facts, session=session)
    review = manifest.review if manifest else ReviewView()
    return tuple(
        ArgumentView(
            pointer=pointer,
            value_json=canonical_bytes(value).decode(),
            rendered=_money(Reference(root="", pointer=Pointer.parse(pointer)), known, review),
            provenance=recorded.sources.get(pointer, ""),
            origins=recorded.origins.get(pointer, ()),
            narrowing=review.narrowing.get(Pointer.parse(pointer), ""),
            looked_up=tuple(
                _looked_up(reference, known, review)
                for reference in review.beside.get(Pointer.parse(pointer), ())
            ),
        )
        for pointer, value in leaves(arguments)
    )


def amount_of(manifest: ToolManifest | None, call: ToolCall) -> tuple[int | None, str]:
    """The first argument that is money, minor units, and its currency; None where there is none."""
    known = Known(arguments=call.arguments)
    for reference, of_currency in manifest.review.money.items() if manifest else ():
        if reference.root:
            continue
        minor, currency = known.value(reference), known.value(of_currency)
        if isinstance(minor, int) and isinstance(currency, str):
            return minor, currency
    return None, ""


def _looked_up(reference: Reference, known: Known, review: ReviewView) -> LookedUpView:
    value = known.value(reference)
    if isinstance(value, Missing):
        said = render(reference, known, review.money)
        return LookedUpView(reference=str(reference), value_json="", rendered=said)
    return LookedUpView(
        reference=str(reference),
        value_json=canonical_bytes(value).decode(),
        rendered=_money(reference, known, review),
    )


def _money(reference: Reference, known: Known, review: ReviewView) -> str:
    return render(reference, known, review.money) if reference in review.money else ""

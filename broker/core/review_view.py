"""Each leaf of a held call beside what the broker looked up about it.

Values are exact: the canonical JSON that will run, and next to it the same for people where the
manifest says that it is money. Nothing is cut and nothing is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Session
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
    """One leaf of the arguments, by JSON Pointer."""

    pointer: str
    value_json: str
    rendered: str
    provenance: str
    looked_up: tuple[LookedUpView, ...]


def argument_views(
    manifest: ToolManifest | None,
    arguments: Mapping[str, JsonValue],
    facts: Mapping[str, Fact],
    session: Session | None = None,
) -> tuple[ArgumentView, ...]:
    """Every leaf of the arguments in order, with the facts that the manifest sets beside it."""
    known = Known(arguments=arguments, facts=facts, session=session)
    review = manifest.review if manifest else ReviewView()
    return tuple(
        ArgumentView(
            pointer=pointer,
            value_json=canonical_bytes(value).decode(),
            rendered=_money(Reference(root="", pointer=Pointer.parse(pointer)), known, review),
            provenance="",
            looked_up=tuple(
                _looked_up(reference, known, review)
                for reference in review.beside.get(Pointer.parse(pointer), ())
            ),
        )
        for pointer, value in leaves(arguments)
    )


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

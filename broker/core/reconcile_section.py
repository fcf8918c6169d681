"""Which tool says afterwards whether a call took effect, and which of its answers say so.

What is asked only reads, from a closed world, and is a registered tool of its own, under scopes,
facts and policy of its own. It counts towards no limit and excludes nobody, so that asking is never
in the way. Of its answers only those that the manifest lists settle anything; any other, and none,
mean that it is not known, and a person looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.manifest_words import POINTER, Schema, closed, list_of, text
from broker.core.pointers import Missing, Pointer, Reference
from broker.core.previews import PREVIEW_SUFFIX
from broker.core.schema_paths import declares, described, types_of

INVOCATION: Final = Reference.parse("invocation#/name")
ARGUMENTS_MAX: Final = 20
ANSWERS_MAX: Final = 20
_WORKER: Final = "worker"
_ANSWER: Final[Schema] = {
    "type": ["boolean", "string"],
    "maxLength": 64,
    "description": "One answer, such as true or PAID.",
}

RECONCILE_SECTION: Final[Schema] = closed(
    {
        "tool": text(
            "Another registered tool, read_only and not open_world, that a worker runs.",
            64,
            pattern="^[a-z][a-z0-9_.-]{0,63}$",
        ),
        "arguments": {
            "type": "object",
            "description": "Its arguments: /x of the call's, or invocation#/name, which the call's "
            "tool had as its idempotency key.",
            "maxProperties": ARGUMENTS_MAX,
            "additionalProperties": text(
                "/x, or invocation#/name.", 500, pattern="^(?:/.*|invocation#/name)$"
            ),
        },
        "answer": {**POINTER, "description": "Where in its result the answer is."},
        "took_effect": list_of(
            _ANSWER, "Answers that say so; true unless said.", at_most=ANSWERS_MAX, minItems=1
        ),
        "did_not": list_of(
            _ANSWER,
            "Answers that say that it did not, and will not any more; false unless said.",
            at_most=ANSWERS_MAX,
            minItems=1,
        ),
    },
    required=("tool", "arguments", "answer"),
    about="Which tool is asked whether a call took effect whose outcome is UNKNOWN.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSpec:
    """Whom to ask, with what, and how to read the answer.

    Attributes:
        tool: name of the tool that is asked.
        arguments: of it, by name: into the call's arguments, or `INVOCATION`.
        answer: into its result.
        took_effect, did_not: the answers that settle the call.
    """

    tool: str
    arguments: Mapping[str, Reference]
    answer: Pointer
    took_effect: tuple[bool | str, ...] = (True,)
    did_not: tuple[bool | str, ...] = (False,)

    def asks_with(
        self, arguments: Mapping[str, JsonValue], *, invocation: str
    ) -> dict[str, JsonValue]:
        """The arguments of the question; what the call does not have is left out."""
        asked: dict[str, JsonValue] = {}
        for name, reference in self.arguments.items():
            if reference == INVOCATION:
                asked[name] = invocation
                continue
            value = reference.pointer.resolve(dict(arguments))
            if not isinstance(value, Missing):
                asked[name] = value
        return asked

    def read(self, result: JsonValue) -> bool | None:
        """Whether it took effect, by this result; None where that is not known."""
        value = self.answer.resolve(result)
        if _is_among(value, self.took_effect):
            return True
        return False if _is_among(value, self.did_not) else None


def parse_section(given: Mapping[str, Any]) -> ReconcileSpec:
    """Read a section in which nothing was found wrong."""
    named = {key: tuple(given[key]) for key in ("took_effect", "did_not") if key in given}
    return ReconcileSpec(
        tool=given["tool"],
        arguments={k: Reference.parse(v) for k, v in given["arguments"].items()},
        answer=Pointer.parse(given["answer"]),
        **named,
    )


def reconcile_findings(document: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between the section and the rest of its manifest."""
    if "reconcile" not in document:
        return
    given = document["reconcile"]
    if document.get("behaviour", {}).get("read_only"):
        yield "/reconcile: leave it out: a tool that is read_only has no effect to ask for"
    if document.get("runner", _WORKER) != _WORKER:
        yield "/reconcile: leave it out: it is for tools that a worker runs"
    if given["tool"] == document["name"] or given["tool"].endswith(PREVIEW_SUFFIX):
        yield "/reconcile/tool: name another tool, which only looks"
    for name, text_of in given["arguments"].items():
        yield from _argument(f"/reconcile/arguments/{name}", text_of, document["arguments"])
    yes, no = given.get("took_effect", [True]), given.get("did_not", [False])
    if any(_is_among(answer, no) for answer in yes):
        yield "/reconcile/did_not: an answer says one thing: none may be in took_effect too"
    try:
        Pointer.parse(given["answer"])
    except ValueError as error:
        yield f"/reconcile/answer: {error}"


def misfit(
    spec: ReconcileSpec, asked: Mapping[str, JsonValue], behaviour: tuple[bool, bool]
) -> str:
    """Why the tool that is in force cannot be asked; empty where it can.

    Args:
        spec: who is asked, and how.
        asked: the manifest of that tool, as given.
        behaviour: whether it is read_only, and whether it is open_world.
    """
    read_only, open_world = behaviour
    if not read_only or open_world:
        return f"{spec.tool} does more than read what is at home"
    if asked.get("runner", _WORKER) != _WORKER:
        return f"{spec.tool} is not run by a worker"
    if asked.get("limits") or asked.get("exclusive"):
        return f"{spec.tool} counts or excludes calls, and asking must be in nobody's way"
    result = asked.get("result", True)
    shown = described(result, spec.answer) if result is not True else True
    if isinstance(shown, Missing) or not declares(result, spec.answer):
        return f"{spec.tool} does not declare {spec.answer} in its result"
    if not isinstance(shown, dict) or not _tells(shown, (*spec.took_effect, *spec.did_not)):
        return f"{spec.tool} declares {spec.answer} as neither a boolean nor an enum with them all"
    return ""


def _argument(at: str, given: str, arguments: JsonValue) -> Iterator[str]:
    try:
        reference = Reference.parse(given)
    except ValueError as error:
        yield f"{at}: {error}"
        return
    if reference != INVOCATION and not declares(arguments, reference.pointer):
        yield f"{at}: {given} is no argument of this tool"


def _tells(shown: Mapping[str, JsonValue], answers: Sequence[bool | str]) -> bool:
    """Whether the place can hold exactly such answers."""
    among = shown.get("enum")
    if isinstance(among, list):
        return all(_is_among(answer, among) for answer in answers)
    is_flag = types_of(dict(shown)) == {"boolean"}
    return is_flag and all(isinstance(answer, bool) for answer in answers)


def _is_among(value: JsonValue | Missing, answers: Sequence[JsonValue]) -> bool:
    """By type and value: true is no 1."""
    return any(type(value) is type(answer) and value == answer for answer in answers)

"""What a reference stands for in one call; floor, facts and summaries all read through here.

`/x` points into the arguments, `name#/x` into a fact, `principal#/`, `agent#/` and `session#/` into
the caller, `each#/` into the element that a look-up is for. A pointer into a fact of several rows
points into each of them. What is absent, failed or undeclared is MISSING, and MISSING equals
nothing, itself included.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Session
from broker.core.pointers import MISSING, Missing, Reference
from broker.core.scopes import same

EACH = "each"
CALLER_MEMBERS: Mapping[str, frozenset[str]] = {
    "principal": frozenset({"id", "groups", "attributes", "assurance"}),
    "agent": frozenset({"id", "owner", "attributes"}),
    "session": frozenset({"id", "words", "context"}),
}
RESERVED = frozenset({*CALLER_MEMBERS, EACH, "arguments"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that a reference may point into.

    Attributes:
        session: whose principal and agent are meant; None, and all three are MISSING.
        facts: those looked up so far, by name.
        each: the element that this look-up is for, inside a fact with `for_each` alone.
    """

    arguments: Mapping[str, JsonValue]
    session: Session | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    each: JsonValue | Missing = MISSING

    def value(self, reference: Reference) -> JsonValue | Missing:
        """The value, or MISSING. Into several rows: the list of each row's, if all have one."""
        if reference.root in self.facts:
            return self._in_fact(reference)
        return _resolve(reference, self._document(reference.root))

    def values(self, reference: Reference) -> tuple[JsonValue, ...]:
        """What the reference stands for, one by one; an array stands for its elements.

        Empty where it is MISSING or an array of nothing.
        """
        value = self.value(reference)
        if isinstance(value, Missing):
            return ()
        return tuple(value) if isinstance(value, list) else (value,)

    def values_of(self, text: str) -> tuple[JsonValue, ...]:
        """The same for a reference as a grant writes it; one that means nothing is MISSING."""
        try:
            return self.values(_parsed(text))
        except ValueError:
            return ()

    def equal(self, left: Reference, right: Reference) -> bool:
        """Whether both sides are there and are the same, each element where one has several."""
        lefts, rights = self.values(left), self.values(right)
        if not lefts or not rights:
            return False
        whole = len(lefts) == len(rights) and all(map(same, lefts, rights))
        return whole or all(same(one, other) for one in lefts for other in rights)

    def _in_fact(self, reference: Reference) -> JsonValue | Missing:
        fact = self.facts[reference.root]
        if fact.error or (fact.absent and fact.value is None):
            return MISSING
        found = reference.pointer.resolve(fact.value)
        if not isinstance(found, Missing) or not isinstance(fact.value, list):
            return found
        rows = [reference.pointer.resolve(row) for row in fact.value]
        present = [value for value in rows if not isinstance(value, Missing)]
        return present if len(present) == len(rows) else MISSING

    def _document(self, root: str) -> JsonValue | Missing:
        match root:
            case "":
                return dict(self.arguments)
            case "each":
                return self.each
            case "principal" | "agent" | "session" if self.session is not None:
                return _described(self.session, root)
            case _:
                return MISSING


def _resolve(reference: Reference, document: JsonValue | Missing) -> JsonValue | Missing:
    return document if isinstance(document, Missing) else reference.pointer.resolve(document)


def _described(session: Session, root: str) -> JsonValue:
    principal, agent = session.principal, session.agent
    if root == "principal":
        return {
            "id": principal.id,
            "groups": list(principal.groups),
            "attributes": dict(principal.attributes),
            "assurance": principal.assurance,
        }
    if root == "agent":
        return {
            "id": agent.id,
            "owner": str(agent.owner),
            "attributes": dict(agent.attributes),
        }
    return {"id": session.name, "words": list(session.words), "context": str(session.context)}


@functools.lru_cache(maxsize=4_096)
def _parsed(text: str) -> Reference:
    return Reference.parse(text)

"""Facts in memory: a test says what each look-up finds, and may make any of them fail."""

import dataclasses
from collections.abc import Callable, Mapping

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Principal, Session
from broker.core.known import Known
from broker.core.manifest import FactSpec, ToolManifest
from broker.core.pointers import MISSING, Reference
from broker.facts.source import Code, LookUpFailed

Table = Callable[[Mapping[str, JsonValue]], list[JsonValue]]


class FakeFacts:
    """Implements `ports.Facts`.

    Attributes:
        tables: by fact, the rows that parameters find.
        failing: by fact, the error that it has instead.
        asked: every (fact, parameters), in order.
    """

    def __init__(self, tables: Mapping[str, Table] | None = None) -> None:
        self.tables = dict(tables or {})
        self.failing: dict[str, Code] = {}
        self.asked: list[tuple[str, Mapping[str, JsonValue]]] = []

    async def gather(
        self,
        manifest: ToolManifest,
        *,
        arguments: Mapping[str, JsonValue],
        principal: Principal,  # noqa: ARG002
        session: Session,
    ) -> Mapping[str, Fact]:
        found: dict[str, Fact] = {}
        waiting = dict(manifest.facts)
        while waiting:
            ready = [n for n, s in waiting.items() if not _needs(s) & waiting.keys()]
            for name in ready:
                known = Known(arguments=arguments, session=session, facts=found)
                found[name] = self._fact(waiting.pop(name), known)
        return {name: found[name] for name in manifest.facts}

    def _fact(self, spec: FactSpec, known: Known) -> Fact:
        try:
            if spec.for_each is None:
                return self._one(spec, known)
            found = [self._one(spec, scene) for scene in _scenes(spec, spec.for_each, known)]
        except LookUpFailed as failure:
            return Fact(name=spec.name, source=spec.source, error=failure.code)
        if spec.absent != "NULL" and any(fact.absent for fact in found):
            return Fact(name=spec.name, source=spec.source, absent=True)
        return Fact(name=spec.name, source=spec.source, value=[fact.value for fact in found])

    def _one(self, spec: FactSpec, known: Known) -> Fact:
        if spec.name in self.failing:
            raise LookUpFailed(self.failing[spec.name], "the test says so")
        parameters: dict[str, JsonValue] = {}
        for name, reference in spec.parameters.items():
            value = known.value(reference)
            if value is MISSING:
                raise LookUpFailed("PARAMETER_ABSENT", name)
            parameters[name] = value
        self.asked.append((spec.name, parameters))
        rows = self.tables[spec.name](parameters)
        if len(rows) > (spec.rows_max if spec.rows == "many" else 1):
            raise LookUpFailed("TOO_MANY_ROWS", "too many rows")
        if spec.rows == "many":
            return Fact(name=spec.name, source=spec.source, value=rows)
        if not rows:
            return Fact(name=spec.name, source=spec.source, absent=True)
        return Fact(name=spec.name, source=spec.source, value=rows[0])


def _needs(spec: FactSpec) -> set[str]:
    return {reference.root for reference in spec.references}


def _scenes(spec: FactSpec, for_each: Reference, known: Known) -> list[Known]:
    elements = known.value(for_each)
    if not isinstance(elements, list):
        raise LookUpFailed("PARAMETER_ABSENT", "no array")
    if len(elements) > spec.items_max:
        raise LookUpFailed("TOO_MANY_ROWS", "too many elements")
    return [dataclasses.replace(known, each=element) for element in elements]

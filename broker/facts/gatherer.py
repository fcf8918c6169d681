"""Every fact that a manifest declares gets an answer: a value, its absence, or an error by code.

Facts that do not need each other are looked up side by side, each under its own deadline. A failing
source fails its facts and nothing else; what cannot be looked up has no value, so that whoever
needs it cannot allow.
"""

import asyncio
import dataclasses
import graphlib
from collections.abc import Coroutine, Mapping
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Principal, Session
from broker.core.errors import Defect
from broker.core.known import Known
from broker.core.manifest import FactSpec, ToolManifest
from broker.core.pointers import MISSING, Missing
from broker.core.schemas import Validator
from broker.core.text import visible
from broker.facts.http import HttpSource
from broker.facts.source import CONNECTIONS, LookUpFailed, Source, SourceSettings
from broker.facts.sql import SqlSource
from broker.fairness.queue import FairQueue, NoPlace, Places

_MANIFESTS_KEPT_MAX = 1_000
LOOK_UPS: Final = Places(most=CONNECTIONS, alone_max=CONNECTIONS - 1, crowd_max=CONNECTIONS)
"""At once of one source: one connection is kept free for whoever comes."""

_DETAIL_CHARACTERS_MAX = 300

_log = structlog.get_logger(__name__)


class Gatherer:
    """The facts port over real sources."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        """Look things up in these sources, by the names that manifests use."""
        self._sources = dict(sources)
        self._queues = {name: FairQueue(LOOK_UPS) for name in sources}
        self._shapes: dict[str, Mapping[str, Validator]] = {}
        self._compiling = asyncio.Lock()

    async def gather(
        self,
        manifest: ToolManifest,
        *,
        arguments: Mapping[str, JsonValue],
        principal: Principal,
        session: Session,
    ) -> Mapping[str, Fact]:
        """Every fact that the manifest declares, by name. A failing one is an error value.

        Args:
            manifest: the revision that the call was resolved to.
            arguments: screened already.
            principal: the session's.
            session: of the caller.
        """
        if principal != session.principal:
            raise Defect("The session is another principal's.")
        found: dict[str, Fact] = {}
        order = graphlib.TopologicalSorter(
            {
                name: {r.root for r in spec.references} & manifest.facts.keys()
                for name, spec in manifest.facts.items()
            },
        )
        order.prepare()
        while order.is_active():
            known = Known(arguments=arguments, session=session, facts=dict(found))
            ready = order.get_ready()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fact(manifest, n, known)) for n in ready]
            found.update((fact.name, fact) for fact in (task.result() for task in tasks))
            order.done(*ready)
        return {name: found[name] for name in manifest.facts}

    def refusals(self, manifest: ToolManifest) -> tuple[str, ...]:
        """Why a manifest cannot work with these sources, each with where; for registration."""
        found = []
        for name, spec in manifest.facts.items():
            source = self._sources.get(spec.source)
            if source is None:
                known = ", ".join(sorted(self._sources)) or "none"
                found.append(f"/facts/{name}/source: no such source; configured: {known}")
            elif why := source.refuses(spec):
                found.append(f"/facts/{name}/source: {spec.source} does not fit: {why}")
        return tuple(found)

    async def close(self) -> None:
        """Close every source."""
        for source in self._sources.values():
            await source.close()

    async def _fact(self, manifest: ToolManifest, name: str, known: Known) -> Fact:
        spec = manifest.facts[name]
        try:
            shape = await self._shape(manifest, name)
            async with asyncio.timeout(spec.deadline_s):
                value = await self._value(spec, known, shape)
        except TimeoutError:
            return _failed(spec, "DEADLINE_EXCEEDED", f"not within {spec.deadline_s} s")
        except LookUpFailed as failure:
            return _failed(spec, failure.code, failure.detail)
        except Exception as error:  # noqa: BLE001 - a defect of one source is that source's failure
            return _failed(spec, "QUERY_FAILED", repr(error))
        if isinstance(value, Missing):
            return Fact(name=name, source=spec.source, absent=True)
        return Fact(name=name, source=spec.source, value=value)

    async def _value(self, spec: FactSpec, known: Known, shape: Validator) -> JsonValue | Missing:
        if spec.for_each is None:
            return await self._look_up(spec, known, shape)
        elements = known.value(spec.for_each)
        if not isinstance(elements, list):
            raise LookUpFailed("PARAMETER_ABSENT", f"{spec.for_each} is no array")
        if len(elements) > spec.items_max:
            raise LookUpFailed("TOO_MANY_ROWS", f"{spec.for_each}: more than {spec.items_max}")
        scenes = [_with_each(known, element) for element in elements]
        found = await _side_by_side([self._look_up(spec, scene, shape) for scene in scenes])
        if spec.absent != "NULL" and any(isinstance(value, Missing) for value in found):
            return MISSING
        return [None if isinstance(value, Missing) else value for value in found]

    async def _look_up(self, spec: FactSpec, known: Known, shape: Validator) -> JsonValue | Missing:
        source = self._sources.get(spec.source)
        if source is None:
            raise LookUpFailed("SOURCE_UNAVAILABLE", "no such source is configured")
        is_many = spec.rows == "many"
        parameters, rows_max = _parameters(spec, known), spec.rows_max if is_many else 1
        # Its deadline runs while it waits for its turn: what others ask keeps it from few.
        agent = known.session.agent.id if known.session is not None else ""
        queue = self._queues[spec.source]
        try:
            async with queue.place(agent, within_s=spec.deadline_s):
                rows = await source.look_up(spec, parameters, rows_max=rows_max)
        except NoPlace:
            raise LookUpFailed("SOURCE_UNAVAILABLE", "too much is looked up already") from None
        if not all(shape.is_valid(row) for row in rows):
            raise LookUpFailed("SHAPE_INVALID", "it does not have the shape that is declared")
        if is_many:
            return rows
        return rows[0] if rows else MISSING

    async def _shape(self, manifest: ToolManifest, name: str) -> Validator:
        """Compiled at the first call, which may take seconds: by a thread, and once."""
        if manifest.revision not in self._shapes:
            async with self._compiling:
                if manifest.revision not in self._shapes:
                    shapes = await asyncio.to_thread(_compiled, manifest)
                    if len(self._shapes) >= _MANIFESTS_KEPT_MAX:
                        self._shapes.clear()
                    self._shapes[manifest.revision] = shapes
        return self._shapes[manifest.revision][name]


def _compiled(manifest: ToolManifest) -> Mapping[str, Validator]:
    return {name: Validator(spec.shape) for name, spec in manifest.facts.items()}


def open_sources(settings: Mapping[str, SourceSettings]) -> dict[str, Source]:
    """A source for each; nothing is connected to yet.

    Raises:
        ValueError: one is of no kind that is supported; the message names it and no credential.
    """
    sources: dict[str, Source] = {}
    for name, one in settings.items():
        is_http = one.url.partition("://")[0] in {"http", "https"}
        try:
            sources[name] = HttpSource(one) if is_http else SqlSource(one)
        except (ValueError, SQLAlchemyError, ImportError) as error:
            raise ValueError(f"source {name}: {error}") from None
    return sources


def _parameters(spec: FactSpec, known: Known) -> dict[str, JsonValue]:
    bound: dict[str, JsonValue] = {}
    for name, reference in spec.parameters.items():
        value = known.value(reference)
        if isinstance(value, Missing):
            raise LookUpFailed("PARAMETER_ABSENT", f"{reference} is missing")
        bound[name] = value
    return bound


async def _side_by_side(
    look_ups: list[Coroutine[None, None, JsonValue | Missing]],
) -> list[JsonValue | Missing]:
    """All of them, in order; the first to fail ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look_up) for look_up in look_ups]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _with_each(known: Known, element: JsonValue) -> Known:
    return dataclasses.replace(known, each=element)


def _failed(spec: FactSpec, code: str, detail: str) -> Fact:
    _log.warning(
        "fact_failed",
        fact=spec.name,
        source=spec.source,
        error=code,
        detail=visible(detail, characters_max=_DETAIL_CHARACTERS_MAX),
    )
    return Fact(name=spec.name, source=spec.source, error=code)

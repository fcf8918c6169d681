"""Everybody in this process decides under one and the same `Control`, and it only moves forward.

The snapshot is replaced as a whole, after every change that goes through here and whenever somebody
finds that the store has moved on. A snapshot that cannot be built leaves the one before in force:
record transactions then fail on its revision, so an old snapshot can refuse calls but not let any
through.
"""

import asyncio
from typing import Final

import structlog

from broker.core.control import Control, ControlRows, ToolCache
from broker.core.control_rows import control_of
from broker.events import Events
from broker.ports import Store

FOLLOW_S: Final = 0.5
"""Seconds after which another broker's change is found, heard of or not."""

_log: Final = structlog.get_logger(__name__)

CONTROL_NAME = "control"
"""The one name that is published on the topic `control`."""


class ControlRoom:
    """Holds what is in force. Made by `ControlRoom.open`."""

    def __init__(self, *, store: Store, events: Events, control: Control, cache: ToolCache) -> None:
        self._store = store
        self._events = events
        self._control = control
        self._cache = cache
        self._installing = asyncio.Lock()

    @classmethod
    async def open(cls, *, store: Store, events: Events) -> "ControlRoom":
        """Read what is in force.

        Raises:
            StoreUnavailable: the database cannot be read.
            Defect: it holds a row that this release does not understand.
        """
        control, cache = control_of(await store.control(), ToolCache())
        return cls(store=store, events=events, control=control, cache=cache)

    def current(self) -> Control:
        """What is in force, as far as this process knows."""
        return self._control

    async def refresh(self) -> Control:
        """Read again what is in force, compiling only the tools that are new.

        Raises:
            StoreUnavailable: the database cannot be read.
            Defect: it holds a row that this release does not understand.
        """
        await self.install(await self._store.control())
        return self._control

    async def install(self, rows: ControlRows) -> Control:
        """Put rows that were just read in force for this process, unless it has newer ones.

        Returns:
            What the rows say.

        Raises:
            Defect: there is a row that this release does not understand.
        """
        async with self._installing:
            if rows.revision == self._control.revision:
                return self._control
            # Compiling takes milliseconds a tool: calls go on meanwhile.
            control, cache = await asyncio.to_thread(control_of, rows, self._cache)
            if rows.revision > self._control.revision:
                self._control, self._cache = control, cache
                self._events.deliver("control", CONTROL_NAME)
            return control

    async def follow(self) -> None:
        """For ever: find what other brokers have put in force. Ends by cancellation."""
        problem = ""
        with self._events.subscribe("control") as changes:
            while True:
                await changes.next(FOLLOW_S)
                try:
                    if await self._store.control_revision() != self._control.revision:
                        await self.refresh()
                    problem = ""
                except Exception as error:  # noqa: BLE001 - what is in force here refuses meanwhile
                    if problem != str(error):
                        _log.warning("control_not_followed", why=str(error))
                    problem = str(error)

    def changed(self) -> None:
        """What is in force was changed through here: have other brokers read it too."""
        self._events.publish("control", CONTROL_NAME)

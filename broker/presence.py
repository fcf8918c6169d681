"""A broker is gone once it has not said anything new for several looks in a row, and not before.

Looks are counted, not seconds: whoever was asleep itself, or whose clock has jumped, has looked no
oftener for that. Nobody is gone before it was watched for so long, whether its row is there or not.
On a database that serves one broker at a time every other one is gone at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from broker.core.brokers import BeatBroker, BrokerRow, DropBroker
from broker.core.errors import BrokerError
from broker.core.unit import Unit
from broker.ports import Clock
from broker.ports.neighbours import Neighbours

BEAT_S: Final = 2.0
MISSED_MAX: Final = 5
"""Looks without anything new after which a broker counts as gone."""
FORGOTTEN_MISSED: Final = 300
"""Looks after which its row is removed; should it wake up, it writes it again."""

_log: Final = structlog.get_logger(__name__)


class Presence:
    """Says that this broker is there, and watches the others.

    Attributes:
        changed: told of all that live, whenever one has come, moved or gone.
    """

    def __init__(
        self,
        *,
        store: Neighbours,
        me: BrokerRow,
        clock: Clock,
        former: frozenset[str] = frozenset(),
    ) -> None:
        """Make one.

        Args:
            store: the rows.
            me: this broker, before it has said anything.
            clock: for people: POSIX seconds.
            former: names of brokers that are surely gone, whatever their rows say.
        """
        self._store = store
        self._me = me
        self._clock = clock
        self._former = former
        self.changed: Callable[[tuple[BrokerRow, ...]], None] = lambda _: None
        self._others: dict[str, BrokerRow] = {}
        self._missed: dict[str, int] = {}
        self._told: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Of this broker."""
        return self._me.name

    @property
    def live(self) -> tuple[BrokerRow, ...]:
        """This broker, and those that are not gone, in the order in which they started."""
        others = (row for name, row in self._others.items() if not self.is_gone(name))
        return tuple(sorted((self._me, *others), key=lambda row: row.name))

    @property
    def is_eldest(self) -> bool:
        """Whether this one is to do what only one should: for prompt work, not for right work."""
        return self.live[0].name == self._me.name

    def is_gone(self, name: str) -> bool:
        """Whether a broker of this name surely does nothing any more, short of waking up."""
        if name == self._me.name:
            return False
        if self._is_surely_over(name):
            return True
        # One that was never heard of is watched from now on.
        return self._missed.setdefault(name, 0) >= MISSED_MAX

    async def join(self, address: str = "") -> None:
        """Say that this broker is there, from now on reached by workers at an address.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._me = replace(self._me, address=address)
        await self.beat()
        await self.look()
        for name in [name for name in self._others if self._is_surely_over(name)]:
            await self._store.commit(Unit(changes=(DropBroker(name=name),), entries=()))

    async def move(self, address: str) -> None:
        """Say where workers reach this broker from now on.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._me = replace(self._me, address=address)
        await self.beat()
        self._tell()

    async def leave(self) -> None:
        """Say that it is not there any more; whoever misses that finds it out."""
        try:
            await self._store.commit(Unit(changes=(DropBroker(name=self._me.name),), entries=()))
        except BrokerError as error:
            _log.info("broker_leaves_unsaid", why=str(error))

    async def run(self) -> None:
        """For ever, once it has joined. Ends by cancellation."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self.beat()
                await self.look()
            except BrokerError as error:
                _log.warning("presence_not_said", why=str(error))
            except Exception:  # noqa: BLE001 - others would take this broker for gone
                _log.exception("presence_failed")

    async def beat(self) -> None:
        """Say it once.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._me = replace(self._me, beats=self._me.beats + 1, seen_at=self._clock())
        await self._store.commit(Unit(changes=(BeatBroker(broker=self._me),), entries=()))

    async def look(self) -> None:
        """Look once at what the others have said. Two looks are `BEAT_S` apart.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        rows = {row.name: row for row in await self._store.brokers() if row.name != self._me.name}
        for name in {*rows, *self._missed}:
            row, before = rows.get(name), self._others.get(name)
            is_new = row is not None and (before is None or row.beats != before.beats)
            self._count(name, is_new=is_new, is_there=row is not None)
        self._others = rows
        self._tell()
        await self._forget()

    def _count(self, name: str, *, is_new: bool, is_there: bool) -> None:
        """One more look; one that has left has taken its row with it, and is no news."""
        missed = self._missed.get(name, 0)
        if is_new and missed >= MISSED_MAX:
            _log.warning("broker_back", broker=name)
        elif is_there and not is_new and missed + 1 == MISSED_MAX:
            _log.warning("broker_gone", broker=name)
        self._missed[name] = 0 if is_new else missed + 1

    def _tell(self) -> None:
        live = self.live
        told = tuple((row.name, row.address) for row in live)
        if told != self._told:
            self._told = told
            self.changed(live)

    def _is_surely_over(self, name: str) -> bool:
        return not self._store.is_shared or name in self._former

    async def _forget(self) -> None:
        for name in [name for name, missed in self._missed.items() if missed >= FORGOTTEN_MISSED]:
            if name in self._others:
                await self._store.commit(Unit(changes=(DropBroker(name=name),), entries=()))
            else:
                del self._missed[name]

"""When a credential was last used is known to about a minute, and costs no call anything.

It is kept in memory and written down now and then, apart from whatever was asked. What is lost in a
crash is the last minute: nothing is decided by it, it only shows which credentials nobody needs.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from broker.core.errors import BrokerError
from broker.core.limits import CREDENTIAL_USE_S
from broker.core.unit import Conflict, NoteUses, Unit
from broker.ports import Clock, Store

USES_MAX: Final = 10_000

_log: Final = structlog.get_logger(__name__)


class CredentialUses:
    """Hears of each use."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._fresh: dict[str, float] = {}

    def note(self, name: str) -> None:
        """A credential was good just now."""
        if name in self._fresh or len(self._fresh) < USES_MAX:
            self._fresh[name] = self._clock()

    async def last(self) -> Mapping[str, float]:
        """When each was last used, POSIX seconds; none that never was."""
        return {**await self._store.credential_uses(), **self._fresh}

    async def flush(self) -> None:
        """Write down what is not yet; what cannot be written is tried again with the next."""
        taken, self._fresh = self._fresh, {}
        if not taken:
            return
        # In one order, so that two brokers that write the same rows never wait for each other.
        uses = tuple(sorted(taken.items()))
        try:
            await self._store.commit(Unit(changes=(NoteUses(uses=uses),), entries=()))
        except (BrokerError, Conflict) as error:
            self._fresh = {**taken, **self._fresh}
            _log.warning("credential_uses_not_written", why=str(error))

    async def run(self) -> None:
        """Write down now and then, for ever."""
        while True:
            await asyncio.sleep(CREDENTIAL_USE_S)
            await self.flush()

"""Something else happens between what is read of a store and what follows from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Hurried:
    """A store; after one read, and before what follows from it, something else happens."""

    store: Any
    read: str
    then: Callable[[], Awaitable[None]]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if name != self.read:
            return found

        async def reading(*asked: Any, **more: Any) -> Any:
            seen = await found(*asked, **more)
            await self.then()
            return seen

        return reading

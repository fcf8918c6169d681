"""Exclusive keys are looked at before any fact, and waited for where that costs nobody else.

Waiting is bounded, and takes none of the places in which calls are decided.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core import limits
from broker.core.decision import STAGE_FLOOR, Effect, Verdict
from broker.core.lifecycle import InvocationState
from broker.events import Events
from broker.ports import Store

LOOK_AGAIN_S: Final = 0.25
"""Another broker may free a key unheard."""

UNSETTLED: Final = Verdict(
    effect=Effect.DENY,
    stage=STAGE_FLOOR,
    code="EXCLUSIVE_UNSETTLED",
    message="An earlier call on the same thing has an unknown outcome; a person must settle it.",
)
BUSY: Final = Verdict(
    effect=Effect.DENY,
    stage=STAGE_FLOOR,
    code="EXCLUSIVE_BUSY",
    message="Another call on the same thing is under way.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Reads keys. `wait_s` is how long a call waits for those that are taken, seconds."""

    store: Store
    events: Events
    wait_s: float = limits.EXCLUSIVE_WAIT_S

    async def now(self, names: Sequence[str]) -> tuple[Mapping[str, int], Verdict | None]:
        """Versions of keys, and why they cannot be had just now; None where all are free."""
        if not names:
            return {}, None
        seen = await self.store.keys(names)
        states = {key.state for key in seen.values() if key.invocation}
        versions = {name: key.version for name, key in seen.items()}
        if InvocationState.UNKNOWN in states:
            return versions, UNSETTLED
        return versions, BUSY if states else None

    async def freed(
        self, names: Sequence[str], *, within_s: float | None = None
    ) -> tuple[Mapping[str, int], Verdict | None]:
        """The same once none is busy any more, or `within_s` is over; `wait_s` where that is None.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        if not names:
            return {}, None
        with self.events.subscribe("key") as changes:
            try:
                async with asyncio.timeout(self.wait_s if within_s is None else within_s):
                    while (found := await self.now(names))[1] is BUSY:
                        await changes.next(LOOK_AGAIN_S)
                    return found
            except TimeoutError:
                return {}, BUSY

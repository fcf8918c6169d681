"""What another broker has put in force comes into force here too: its policy is started.

Until it answers, calls that would ask it wait or are not decided; never does the one before decide
them. One that does not start is tried again, and said once.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from broker.administration.policies import PolicyAdministration
from broker.administration.shadow import ShadowAdministration
from broker.control_room import ControlRoom
from broker.core.errors import PolicyUnavailable
from broker.events import Events
from broker.ports import Policies

RETRY_S: Final = 2.0

_log: Final = structlog.get_logger(__name__)


class Following:
    """Starts and ends policies as others put them in force."""

    def __init__(
        self,
        *,
        policies: PolicyAdministration,
        shadow: ShadowAdministration,
        warm: Policies,
        room: ControlRoom,
        events: Events,
    ) -> None:
        """Make one.

        Args:
            policies: starts the one in force.
            shadow: starts the one beside it.
            warm: those that answer.
            room: says which are to.
            events: of control.
        """
        self._policies = policies
        self._shadow = shadow
        self._warm = warm
        self._room = room
        self._events = events
        self._known: set[str] = set()

    async def run(self) -> None:
        """For ever. Ends by cancellation."""
        problem = ""
        with self._events.subscribe("control") as changes:
            while True:
                try:
                    await self.catch_up()
                    problem = ""
                except Exception as error:  # noqa: BLE001 - calls are not decided meanwhile
                    if problem != str(error):
                        _log.error("policy_not_followed", why=str(error))
                    problem = str(error)
                await changes.next(RETRY_S)

    async def catch_up(self) -> None:
        """Have what is to answer answer, and end what is not.

        Raises:
            PolicyRefused: what is kept of it does not hold any more.
            PolicyUnavailable: it does not start.
        """
        control = self._room.current()
        shadow = control.shadow.revision if control.shadow is not None else ""
        wanted = {control.policy_revision, shadow} - {""}
        if self._known == wanted and all(map(self._is_ready, wanted)):
            return
        async with self._policies.beside(*self._known):
            self._known |= wanted
            await self._start(control.policy_revision, self._policies.start)
            await self._start(shadow, self._shadow.resume)
        self._known = wanted

    async def _start(self, revision: str, start: Callable[[], Awaitable[None]]) -> None:
        if revision and not self._is_ready(revision):
            await start()

    def _is_ready(self, revision: str) -> bool:
        try:
            self._warm.at(revision)
        except PolicyUnavailable:
            return False
        return True

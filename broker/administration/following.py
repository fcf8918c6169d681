"""What another broker has put in force comes into force here too: its policy is started.

Until it answers, calls that would ask it wait or are not decided; never does the one before decide
them. One that does not start is tried again, and said once. A policy that is merely asked beside it
stops nothing, and checking it costs seconds of a processor: that one is tried ever more seldom.
"""

from typing import Final

import structlog

from broker.administration.policies import PolicyAdministration, is_ready
from broker.administration.shadow import ShadowAdministration
from broker.control_room import ControlRoom
from broker.events import Events
from broker.ports import Policies

RETRY_S: Final = 2.0
SHADOW_ROUNDS_MAX: Final = 256
"""Rounds without a try of a shadow that does not start, while nothing else is put in force."""

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
        self._tried = ("", 0)
        self._rounds = self._rounds_left = 0

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
        if self._known == wanted and all(is_ready(self._warm, one) for one in wanted):
            return
        async with self._policies.beside(*self._known):
            self._known |= wanted
            if control.policy_revision and not is_ready(self._warm, control.policy_revision):
                await self._policies.start()
            if shadow and not is_ready(self._warm, shadow):
                await self._resume((shadow, control.revision))
        self._known = wanted

    async def _resume(self, asked: tuple[str, int]) -> None:
        """Try the shadow, unless it was tried under the same tools a moment ago."""
        if asked != self._tried:
            self._tried, self._rounds, self._rounds_left = asked, 1, 0
        if self._rounds_left:
            self._rounds_left -= 1
            return
        self._rounds_left = self._rounds
        self._rounds = min(self._rounds * 2, SHADOW_ROUNDS_MAX)
        await self._shadow.resume()

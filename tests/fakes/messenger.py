"""A way out that keeps what it is given, or refuses it."""

from dataclasses import dataclass, field

from broker.core.notices import NoticeEvent
from broker.notifying import Teller
from broker.ports.notifying import Channel, NotDelivered
from tests.world import AGENT, World

PEOPLE = (NoticeEvent.HOLD_OPENED, NoticeEvent.HOLD_REMINDER)
AGENTS = (NoticeEvent.INVOCATION_HELD, NoticeEvent.INVOCATION_ENDED)
ORIGIN = "https://review.example.com"


@dataclass
class FakeMessenger:
    """Implements `ports.notifying.Messenger`."""

    sent: list = field(default_factory=list)
    tried: list = field(default_factory=list)
    refusing: NotDelivered | None = None
    only_first: int = 0

    async def send(self, message) -> None:
        self.tried.append(message)
        if self.refusing is not None:
            raise self.refusing
        self.sent.append(message)

    async def close(self) -> None:
        """Nothing is open."""


def channel(messenger, *, for_agents: bool = False, **changes) -> Channel:
    given = {
        "name": "shop" if for_agents else "chat",
        "kind": "agent_webhook" if for_agents else "webhook",
        "target": "https://chat.example.com",
        "messenger": messenger,
        "events": AGENTS if for_agents else PEOPLE,
        "agents": (AGENT,) if for_agents else (),
        "together_above": 20,
    }
    return Channel(**{**given, **changes})


def teller(w: World, messenger, *, for_agents: bool = False, **changes) -> Teller:
    """A channel's work over a world; nothing is left to chance."""
    return Teller(
        channel=channel(messenger, for_agents=for_agents, **changes),
        store=w.store,
        notices=w.store,
        events=w.events,
        clock=w.clock,
        address=lambda: ORIGIN,
        chance=lambda: 1.0,
    )

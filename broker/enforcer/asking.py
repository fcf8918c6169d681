"""The policy engine is asked in turn: what one agent asks, however much, keeps no other long.

A question waits for its place no longer than for its answer. Whoever gets none in that time was not
asked about, so nothing was decided.
"""

from collections.abc import Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable, retry_after
from broker.core.limits import POLICY_DEADLINE_S
from broker.fairness.queue import FairQueue, NoPlace, Places
from broker.ports import DecisionPoint

# Alone there is company enough to go in groups; in a crowd each keeps the engine busy at least.
QUESTIONS: Final = Places(most=128, alone_max=96, crowd_max=16, each_min=2)


class Asking:
    """Asks decision points, agent by agent. For one event loop."""

    def __init__(self, places: Places = QUESTIONS) -> None:
        self.questions = FairQueue(places)

    async def opinion(
        self, point: DecisionPoint, asked: Mapping[str, JsonValue], *, agent: str
    ) -> Opinion:
        """What it says.

        Raises:
            PolicyUnavailable: it cannot be asked, or so much is asked that this one's turn has not
                come; nothing was decided.
        """
        try:
            async with self.questions.place(agent, within_s=POLICY_DEADLINE_S):
                return await point.evaluate(asked, deadline_s=POLICY_DEADLINE_S)
        except NoPlace:
            raise PolicyUnavailable(
                "So many calls wait to be decided that this one's turn has not come.",
                metadata=retry_after(),
            ) from None

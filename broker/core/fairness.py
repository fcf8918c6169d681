"""What one agent, principal, session or credential may have at once and in a while, and no more.

All of it is for each broker by itself, but for holds and denials, which are counted where they are
stored.
"""

from dataclasses import dataclass, field
from typing import Final

from broker.core import limits
from broker.core.calls import Caller
from broker.core.standing import DenialBounds, RequireRoomForHold


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of whoever asks.

    Attributes:
        calls_max: under way at once.
        calls_per_s: in the long run; what was not used is saved up for `limits.SAVED_UP_S`.
        bytes_per_s: of arguments, likewise.
    """

    calls_max: int
    calls_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """What is bounded.

    Attributes:
        agent, principal, session: what each may ask.
        holds_of_agent_max, holds_of_principal_max: that wait for people at once.
        streams_max: of one credential at once.
        denials: of a session.
    """

    agent: Share = field(
        default_factory=lambda: Share(
            calls_max=limits.CALLS_OF_AGENT_MAX,
            calls_per_s=limits.CALLS_OF_AGENT_PER_S,
            bytes_per_s=limits.BYTES_OF_AGENT_PER_S,
        )
    )
    principal: Share = field(
        default_factory=lambda: Share(
            calls_max=limits.CALLS_OF_PRINCIPAL_MAX,
            calls_per_s=limits.CALLS_OF_PRINCIPAL_PER_S,
            bytes_per_s=limits.BYTES_OF_AGENT_PER_S,
        )
    )
    session: Share = field(
        default_factory=lambda: Share(
            calls_max=limits.CALLS_OF_SESSION_MAX,
            calls_per_s=limits.CALLS_OF_PRINCIPAL_PER_S,
            bytes_per_s=limits.BYTES_OF_AGENT_PER_S,
        )
    )
    holds_of_agent_max: int = limits.HOLDS_OF_AGENT_MAX
    holds_of_principal_max: int = limits.HOLDS_OF_PRINCIPAL_MAX
    streams_max: int = limits.STREAMS_OF_CREDENTIAL_MAX
    denials: DenialBounds = field(default_factory=DenialBounds)

    def room_for(self, caller: Caller) -> RequireRoomForHold:
        """What must be so for one more call to wait for people."""
        return RequireRoomForHold(
            agent=caller.agent.id,
            of_agent_max=self.holds_of_agent_max,
            principal=caller.principal.id,
            of_principal_max=self.holds_of_principal_max,
        )


FAIR: Final = Fairness()

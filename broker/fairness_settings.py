"""The settings of what whoever asks may have: `[fairness]` in the configuration."""

from pydantic import BaseModel, ConfigDict, Field

from broker.core.fairness import Fairness, Share
from broker.core.limits import (
    BYTES_OF_AGENT_PER_S,
    CALLS_OF_AGENT_MAX,
    CALLS_OF_AGENT_PER_S,
    CALLS_OF_PRINCIPAL_MAX,
    CALLS_OF_PRINCIPAL_PER_S,
    CALLS_OF_SESSION_MAX,
    DENIALS_KEPT_MAX,
    DENIALS_MAX,
    DENIALS_WINDOW_S,
    HOLDS_OF_AGENT_MAX,
    HOLDS_OF_PRINCIPAL_MAX,
    STREAMS_OF_CREDENTIAL_MAX,
)
from broker.core.standing import DenialBounds


class Fair(BaseModel):
    """What one agent, principal, session or credential may have; more is told when to come again.

    Calls and bytes are counted by each broker for itself, holds and denials in the database.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent_calls_max: int = Field(
        default=CALLS_OF_AGENT_MAX, ge=1, description="Calls of an agent under way at once."
    )
    agent_calls_per_s: float = Field(
        default=CALLS_OF_AGENT_PER_S,
        gt=0,
        description="Calls of an agent in the long run; what it did not use is saved up for 4 s.",
    )
    agent_bytes_per_s: float = Field(
        default=BYTES_OF_AGENT_PER_S,
        gt=0,
        description="Arguments of an agent's calls, likewise; of a principal and a session, too.",
    )
    principal_calls_max: int = Field(
        default=CALLS_OF_PRINCIPAL_MAX,
        ge=1,
        description="Calls for a principal under way at once, by whichever agents.",
    )
    principal_calls_per_s: float = Field(
        default=CALLS_OF_PRINCIPAL_PER_S, gt=0, description="Calls for a principal, likewise."
    )
    session_calls_max: int = Field(
        default=CALLS_OF_SESSION_MAX,
        ge=1,
        le=CALLS_OF_SESSION_MAX,
        description="Calls of a session under way at once.",
    )
    session_calls_per_s: float = Field(
        default=CALLS_OF_PRINCIPAL_PER_S, gt=0, description="Calls of a session, likewise."
    )
    agent_holds_max: int = Field(
        default=HOLDS_OF_AGENT_MAX,
        ge=1,
        description="Calls of an agent that wait for people at once. One more is not decided.",
    )
    principal_holds_max: int = Field(
        default=HOLDS_OF_PRINCIPAL_MAX, ge=1, description="Likewise for a principal."
    )
    credential_streams_max: int = Field(
        default=STREAMS_OF_CREDENTIAL_MAX,
        ge=1,
        description="Streams that one credential has open at once.",
    )
    denials_max: int = Field(
        default=DENIALS_MAX,
        ge=1,
        le=DENIALS_KEPT_MAX,
        description="Denials of a session in the window; after so many its calls wait for people.",
    )
    denials_window_s: float = Field(
        default=DENIALS_WINDOW_S, gt=0, le=86_400, description="Length of that window."
    )

    def bounds(self) -> Fairness:
        """As the use cases have it."""
        return Fairness(
            agent=Share(
                calls_max=self.agent_calls_max,
                calls_per_s=self.agent_calls_per_s,
                bytes_per_s=self.agent_bytes_per_s,
            ),
            principal=Share(
                calls_max=self.principal_calls_max,
                calls_per_s=self.principal_calls_per_s,
                bytes_per_s=self.agent_bytes_per_s,
            ),
            session=Share(
                calls_max=self.session_calls_max,
                calls_per_s=self.session_calls_per_s,
                bytes_per_s=self.agent_bytes_per_s,
            ),
            holds_of_agent_max=self.agent_holds_max,
            holds_of_principal_max=self.principal_holds_max,
            streams_max=self.credential_streams_max,
            denials=DenialBounds(denials_max=self.denials_max, window_s=self.denials_window_s),
        )

"""A family is observed by an operator, for a reason, until a time, and of that the log tells.

What is named must be there: the observing of a misspelt family would lift nothing while everybody
believes that it does. One family is observed once for one agent, so that what ends one ends it.
"""

from broker.administration.changes import (
    ControlChanges,
    InForce,
    Planned,
    optional_reason,
    required_reason,
)
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.credentials import Credential
from broker.core.errors import IllegalTransition, MalformedRequest, NotFound
from broker.core.limits import OBSERVATION_LIFE_S_MAX
from broker.core.observing import Observation
from broker.core.observing_rows import OBSERVATION, observation_row
from broker.core.unit import Change, DropControl


class ObservingAdministration:
    """Observes families, and ends that."""

    def __init__(self, *, changes: ControlChanges) -> None:
        self._changes = changes

    def in_force(self) -> tuple[Observation, ...]:
        """Those that lift something now, oldest first."""
        now = self._changes.clock()
        known = self._changes.room.current().observations
        return tuple(o for o in known if o.is_in_force(now=now))

    async def create(
        self, operator: Credential, *, family: str, agent: str, expires_at: float, reason: str
    ) -> Observation:
        """Observe a family, from the next decision on.

        Args:
            operator: who does it.
            family: one of the policy in force.
            agent: its id; empty for all.
            expires_at: POSIX seconds, at most `OBSERVATION_LIFE_S_MAX` from now.
            reason: required.

        Raises:
            MalformedRequest: no reason, no such time, or the family or agent is unknown.
            IllegalTransition: it is observed for this agent already.
        """
        why = required_reason(reason)
        now = self._changes.clock()
        if not now < expires_at <= now + OBSERVATION_LIFE_S_MAX:
            raise MalformedRequest(
                f"Observing ends, within {OBSERVATION_LIFE_S_MAX / 86_400:.0f} days.",
                metadata={"field": "expire_time"},
            )
        observation = Observation(
            name=f"observations/{self._changes.ids()}",
            family=family,
            agent=agent,
            reason=why,
            observed_by=operator.subject,
            created_at=now,
            expires_at=expires_at,
        )
        told = _told(observation, why)
        entry = self._changes.entry(EntryKind.OBSERVATION_CREATED, operator, told)

        async def plan(in_force: InForce) -> Planned[Observation]:
            _require_known(in_force, observation)
            over: list[Change] = []
            for one in in_force.control.observations:
                if not one.is_in_force(now=now):
                    over.append(DropControl(kind=OBSERVATION, key=one.name))
                elif (one.family, one.agent) == (family, agent):
                    raise IllegalTransition("This is observed already; end that first.")
            changes = (*over, observation_row(observation))
            return Planned(changes=changes, entries=(entry,), answer=observation)

        return await self._changes.make(plan)

    async def delete(self, operator: Credential, name: str, *, reason: str = "") -> Observation:
        """Let a family have its force again, from the next decision on.

        Raises:
            NotFound: no such observation.
        """
        why = optional_reason(reason)

        async def plan(in_force: InForce) -> Planned[Observation]:
            found = next((o for o in in_force.control.observations if o.name == name), None)
            if found is None:
                raise NotFound("There is no such observation.")
            told = _told(found, why)
            entry = self._changes.entry(EntryKind.OBSERVATION_DELETED, operator, told)
            drop = DropControl(kind=OBSERVATION, key=name)
            return Planned(changes=(drop,), entries=(entry,), answer=found)

        return await self._changes.make(plan)


def _require_known(in_force: InForce, observation: Observation) -> None:
    families = in_force.policy.families if in_force.policy else ()
    if observation.family not in families:
        raise MalformedRequest(
            "The policy in force has no such family.", metadata={"field": "family"}
        )
    if observation.agent and observation.agent not in in_force.control.agents:
        raise MalformedRequest("There is no such agent.", metadata={"field": "agent"})


def _told(observation: Observation, reason: str) -> dict[str, JsonValue]:
    return {
        "observation": observation.name,
        "family": observation.family,
        "agent": observation.agent,
        "expires_at": observation.expires_at,
        "reason": reason,
    }

"""A policy that another broker has put in force is waited for here, for as long as a question may.

What is in force is known at once, so that nothing is decided under what was in force before; the
policy itself takes a moment to start. One that does not start in time cannot be asked, and then
nothing was decided.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.ports import DecisionPoint, Policies

LOOK_S: Final = 0.02


class PatientPolicies:
    """Implements `ports.Policies` over others that may be on their way."""

    def __init__(self, policies: Policies) -> None:
        """Wait for these."""
        self._policies = policies

    def at(self, revision: str) -> DecisionPoint:
        """The one of this revision, which answers once it is ready."""
        try:
            return self._policies.at(revision)
        except PolicyUnavailable:
            return _Coming(self._policies, revision)


class _Coming:
    """Implements `ports.DecisionPoint`."""

    def __init__(self, policies: Policies, revision: str) -> None:
        self._policies = policies
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        while True:
            try:
                ready = self._policies.at(self._revision)
            except PolicyUnavailable:
                if loop.time() >= until:
                    raise
            else:
                return await ready.evaluate(question, deadline_s=deadline_s)
            await asyncio.sleep(LOOK_S)

    async def is_answering(self) -> bool:
        """Not before it is ready; then it is no longer this that is asked."""
        return False

    async def close(self) -> None:
        """It holds nothing."""

"""An office with one operator in it, and the documents and orders that come to its desk."""

import json
from dataclasses import dataclass
from typing import Any

from broker.administration import Administration
from broker.administration.credentials import CredentialOrder
from broker.control_room import ControlRoom
from broker.core.credentials import CredentialClass
from broker.store import SqlStore
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import operator
from tests.world import REFUND, FakeClock

OPERATOR = operator()


@dataclass
class Office:
    store: SqlStore
    room: ControlRoom
    policies: FakePolicyRoom
    clock: FakeClock
    admin: Administration

    async def said(self) -> list[dict[str, Any]]:
        """The log's entries so far."""
        lines = [line async for line in self.store.export(since=0.0, include_contents=False)]
        entries = [json.loads(line) for part in lines for line in part.splitlines()]
        return [entry.get("entry", entry) for entry in entries]

    async def kinds(self) -> list[str]:
        return [entry["kind"] for entry in await self.said() if "kind" in entry]


def document(**changed: Any) -> bytes:
    return json.dumps({**REFUND, **changed}).encode()


def agent_order(person: str = "owner", subject: str = "agents/a", **given: Any) -> CredentialOrder:
    return CredentialOrder(
        credential_class=CredentialClass.AGENT, subject=subject, person=person, **given
    )

"""Every change of what is in force is one unit: the rows, the documents and the entry with the why.

What a change was checked against must still stand when it commits, so each unit requires the
control revision that the check read; where that has moved, the change is looked at again.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from broker.control_room import ControlRoom
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.control import Control, ControlRows
from broker.core.control_rows import PolicyInForce, policy_in
from broker.core.credentials import Credential
from broker.core.errors import (
    BrokerError,
    LimitExceeded,
    MalformedRequest,
    OutcomeUnstored,
    StaleEtag,
)
from broker.core.manifest import ToolManifest
from broker.core.unit import Change, Conflict, ConflictOn, RequireControl, Unit
from broker.ports import Clock, IdFactory, Store

REASON_CHARACTERS_MAX: Final = 1_000
ATTEMPTS_MAX: Final = 5
_FINDINGS_CHARACTERS_MAX: Final = 2_000

_T = TypeVar("_T")

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force, read at one moment.

    Attributes:
        control: as the stages read it.
        rows: the same as the store has it; of the same revision.
    """

    control: Control
    rows: ControlRows

    @property
    def policy(self) -> PolicyInForce | None:
        """The policy in force, if there is one."""
        return policy_in(self.rows)

    def manifests(self) -> Mapping[str, ToolManifest]:
        """The tools in force, by name."""
        return {name: tool.manifest for name, tool in self.control.tools.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Generic[_T]):
    """A change that was checked and is not made yet.

    Attributes:
        changes: empty where nothing is to be changed.
        entries: what the log says of it.
        answer: what whoever asked is told once it is made.
    """

    changes: tuple[Change, ...]
    entries: tuple[EntryDraft, ...]
    answer: _T


class ControlChanges:
    """Makes changes of what is in force, and lets everybody in this process see them."""

    def __init__(self, *, store: Store, room: ControlRoom, clock: Clock, ids: IdFactory) -> None:
        self.store = store
        self.room = room
        self.clock = clock
        self.ids = ids

    async def look(self) -> InForce:
        """Read what is in force."""
        rows = await self.store.control()
        return InForce(control=await self.room.install(rows), rows=rows)

    async def make(self, plan: Callable[[InForce], Awaitable[Planned[_T]]]) -> _T:
        """Plan a change under what is in force, and make it if that still is.

        Args:
            plan: checks and plans; called again where somebody else changed something meanwhile.

        Returns:
            The plan's answer.

        Raises:
            StaleEtag: others kept changing things; nothing was changed.
            BrokerError: what `plan` or the store raises.
        """
        for _ in range(ATTEMPTS_MAX):
            in_force = await self.look()
            planned = await plan(in_force)
            if not planned.changes and not planned.entries:
                return planned.answer
            required: tuple[Change, ...] = (RequireControl(revision=in_force.rows.revision),)
            try:
                await self.store.commit(
                    Unit(changes=required + planned.changes, entries=planned.entries)
                )
            except Conflict as conflict:
                if conflict.on is not ConflictOn.CONTROL:
                    raise
                continue
            except OutcomeUnstored:
                await self._spread()  # it may be in force
                raise
            await self._spread()
            return planned.answer
        raise StaleEtag("Others are changing what is in force at the same time; ask again.")

    async def _spread(self) -> None:
        """Have everybody read what is in force; that this fails takes back nothing that was made.

        A call that is decided under what was in force before finds that out when it is recorded.
        """
        self.room.changed()
        try:
            await self.room.refresh()
        except BrokerError as error:
            _log.warning("control_not_read_again", reason=error.reason, error=str(error))

    async def say(self, entry: EntryDraft) -> None:
        """Put one entry into the log."""
        await self.store.commit(Unit(changes=(), entries=(entry,)))

    def entry(
        self, kind: EntryKind, operator: Credential, body: Mapping[str, JsonValue]
    ) -> EntryDraft:
        """What the log says: who, by which credential and as which Person, did what."""
        person = str(operator.person) if operator.person else ""
        return EntryDraft(
            kind=kind,
            at=self.clock(),
            actor=operator.subject,
            body={"credential": operator.name, "person": person, **body},
        )


def required_reason(reason: str) -> str:
    """The reason, trimmed.

    Raises:
        MalformedRequest: there is none.
        LimitExceeded: it is longer than `REASON_CHARACTERS_MAX` characters.
    """
    if not reason.strip():
        raise MalformedRequest("This needs a reason.", metadata={"field": "reason"})
    return optional_reason(reason)


def optional_reason(reason: str) -> str:
    """The reason, trimmed; empty where none was given.

    Raises:
        LimitExceeded: it is longer than `REASON_CHARACTERS_MAX` characters.
    """
    if len(reason) > REASON_CHARACTERS_MAX:
        raise LimitExceeded(f"A reason has at most {REASON_CHARACTERS_MAX} characters.")
    return reason.strip()


def refused(what: str, findings: tuple[str, ...], *, field: str) -> MalformedRequest:
    """The error for documents with findings: as many of them as an error may carry."""
    lines, length = [what], 0
    for number, finding in enumerate(findings):
        length += len(finding)
        if length > _FINDINGS_CHARACTERS_MAX:
            lines.append(f"… and {len(findings) - number} more")
            break
        lines.append(finding)
    return MalformedRequest("\n".join(lines), metadata={"field": field})

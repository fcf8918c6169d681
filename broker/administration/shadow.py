"""A policy is asked beside the one in force only once it answers; what it would have done is shown.

Turning it on and off are entries, with what was seen. Its bundle is kept under a key of its own: it
was never in force, and nobody goes back to it by mistake. That it cannot be started again after a
restart stops nothing: calls go on, and what it was not asked about is counted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from broker.administration.changes import ControlChanges, InForce, Planned, optional_reason, refused
from broker.administration.policies import DEFAULT_PRESET, PolicyAdministration, is_ready
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.credentials import Credential
from broker.core.errors import BrokerError, IllegalTransition
from broker.core.shadow_rows import ON, SHADOW, bundle_key, shadow_row, tally_key, tally_of
from broker.core.shadowing import Shadow, Tally, joined
from broker.core.unit import AddDocument, DropControl, DropShadowTallies
from broker.ports import Bundle, PolicyOrder, PolicyRefused, PolicyRoom

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """The shadow that is on, whether it answers, and what all brokers have seen of it.

    Attributes:
        beside: the policy in force, which it is compared with; beside another one it is counted
            apart.
    """

    shadow: Shadow
    beside: str
    is_ready: bool
    tally: Tally


class ShadowAdministration:
    """Turns a shadow on and off."""

    def __init__(
        self,
        *,
        changes: ControlChanges,
        room: PolicyRoom,
        policies: PolicyAdministration,
        seen: Callable[[Shadow], Tally],
        owner: str,
    ) -> None:
        """Make one.

        Args:
            changes: makes the changes.
            room: builds, starts and ends.
            policies: comes and goes in turn with the one in force.
            seen: what this broker has seen of a shadow, newer than what is written.
            owner: this broker's name.
        """
        self._changes = changes
        self._room = room
        self._policies = policies
        self._seen = seen
        self._owner = owner

    async def resume(self) -> None:
        """After a restart, have the shadow that is on answer again; that it cannot is logged."""
        in_force = await self._changes.look()
        shadow = in_force.control.shadow
        if shadow is None:
            return
        try:
            await self._room.prepare(await self._rechecked(shadow, in_force))
        except (PolicyRefused, BrokerError) as wrong:
            _log.warning("shadow_not_started", revision=shadow.revision, because=str(wrong))

    async def start(
        self,
        operator: Credential,
        files: Mapping[str, bytes],
        *,
        preset: str = "",
        drop_families: Iterable[str] = (),
        reason: str = "",
    ) -> ShadowReport:
        """Ask this policy beside the one in force, from the next decision on.

        Args:
            operator: who does it.
            files: an operator's own tree, path to content.
            preset: the name of the defaults; `balanced` where empty.
            drop_families: families that the policy in force has and this one leaves out.
            reason: for the log; may be empty.

        Raises:
            IllegalTransition: a shadow is on, or this policy is in force.
            MalformedRequest: it is refused, as it could not be put in force either.
            PolicyUnavailable: it does not start.
        """
        why = optional_reason(reason)
        dropped = tuple(drop_families)

        async def plan(in_force: InForce) -> Planned[Shadow]:
            if in_force.control.shadow is not None:
                raise IllegalTransition(
                    "A shadow is on already; end it first: `callbroker policy shadow --off "
                    "--reason ...`."
                )
            order = PolicyOrder(
                files=files,
                preset=preset or DEFAULT_PRESET,
                previous_families=in_force.policy.families if in_force.policy else (),
                dropped=dropped,
            )
            bundle = await self._room.build(order, tools=in_force.manifests().values())
            if bundle.revision == in_force.control.policy_revision:
                raise IllegalTransition("This policy is in force.")
            await warm(bundle)
            return self._planned(operator, bundle, in_force=in_force, reason=why)

        async with self._policies.beside() as warm:
            try:
                shadow = await self._changes.make(plan)
            except PolicyRefused as wrong:
                raise refused("This policy is refused:", wrong.findings, field="files") from wrong
        return await self._report(shadow)

    async def stop(self, operator: Credential, *, reason: str = "") -> ShadowReport:
        """Ask it no more.

        Returns:
            What was seen until now; the log keeps the counts.

        Raises:
            IllegalTransition: none is on.
        """
        why = optional_reason(reason)

        async def plan(in_force: InForce) -> Planned[ShadowReport]:
            shadow = in_force.control.shadow
            if shadow is None:
                raise IllegalTransition("No shadow is on.")
            report = await self._report(shadow)
            body = {
                **_told(shadow),
                "beside": report.beside,
                **_counts(report.tally),
                "reason": why,
            }
            entry = self._changes.entry(EntryKind.SHADOW_STOPPED, operator, body)
            drop = DropControl(kind=SHADOW, key=ON)
            return Planned(changes=(drop,), entries=(entry,), answer=report)

        known = self._changes.room.current().shadow
        async with self._policies.beside(*([known.revision] if known else [])):
            return await self._changes.make(plan)

    async def report(self) -> ShadowReport | None:
        """The shadow that is on, and what was seen; None where none is."""
        shadow = self._changes.room.current().shadow
        return None if shadow is None else await self._report(shadow)

    def _planned(
        self, operator: Credential, bundle: Bundle, *, in_force: InForce, reason: str
    ) -> Planned[Shadow]:
        now = self._changes.clock()
        shadow = Shadow(
            name=f"shadows/{self._changes.ids()}",
            revision=bundle.revision,
            families=bundle.families,
            reason=reason,
            started_by=operator.subject,
            started_at=now,
        )
        document = AddDocument(
            digest=bundle_key(bundle.revision), kind=SHADOW, at=now, body=bundle.to_bytes()
        )
        body = {**_told(shadow), "beside": in_force.control.policy_revision, "reason": reason}
        entry = self._changes.entry(EntryKind.SHADOW_STARTED, operator, body)
        changes = (document, DropShadowTallies(), shadow_row(shadow))
        return Planned(changes=changes, entries=(entry,), answer=shadow)

    async def _rechecked(self, shadow: Shadow, in_force: InForce) -> Bundle:
        """The kept bundle, checked anew; what is kept may have been exchanged."""
        kept = await self._changes.store.document(bundle_key(shadow.revision))
        if kept is None:
            raise PolicyRefused(["its bundle is not kept"])
        bundle = await self._room.recheck(kept, tools=in_force.manifests().values())
        if bundle.revision != shadow.revision:
            raise PolicyRefused(["what is kept of it is another policy"])
        return bundle

    async def _report(self, shadow: Shadow) -> ShadowReport:
        beside = self._changes.room.current().policy_revision
        kept = await self._changes.store.shadow_tallies(tally_key(shadow.name, beside))
        others = [tally_of(b) for broker, b in kept.items() if broker != self._owner]
        tally = joined([self._seen(shadow), *others])
        ready = is_ready(self._room, shadow.revision)
        return ShadowReport(shadow=shadow, beside=beside, is_ready=ready, tally=tally)


def _told(shadow: Shadow) -> dict[str, JsonValue]:
    return {"shadow": shadow.name, "revision": shadow.revision, "families": [*shadow.families]}


def _counts(tally: Tally) -> dict[str, JsonValue]:
    return {
        "decisions": tally.decisions,
        "dropped": tally.dropped,
        "unanswered": tally.unanswered,
        "differences": {
            f"{before.name} to {after.name}": calls
            for (before, after), calls in tally.differences.items()
        },
    }

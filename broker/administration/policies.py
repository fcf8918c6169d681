"""A policy comes into force only once it answers, and the one before stays until then.

The new revision is built, checked under the tools in force, started and warmed; then one unit makes
it the one that decides; the old one is ended after calls that began under it have had their time.
What is refused changes nothing and is an entry. Every bundle that was ever in force is kept.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from broker.administration.changes import (
    ControlChanges,
    InForce,
    Planned,
    optional_reason,
    refused,
    required_reason,
)
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.control_rows import POLICY, PolicyInForce, policy_row
from broker.core.credentials import Credential
from broker.core.errors import Defect, IllegalTransition, NotFound, PolicyUnavailable
from broker.core.manifest import ToolManifest
from broker.core.unit import AddDocument
from broker.ports import Bundle, Library, Policies, PolicyOrder, PolicyRefused, PolicyRoom

DEFAULT_PRESET: Final = "balanced"
DRAIN_S: Final = 30.0
"""Longer than a call can take from reading what is in force to asking policy."""

_Choose = Callable[[InForce], Awaitable[Bundle]]
_Warm = Callable[[Bundle], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPolicy:
    """A policy that is or was in force."""

    revision: str
    families: tuple[str, ...]
    activated_at: float
    active: bool
    library: Library | None
    preset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The shipped library as it decides now, and as it would in the next policy.

    Attributes:
        in_force: None where no policy is in force, or its bundle does not say.
        shipped: None where it cannot be read.
    """

    in_force: Library | None
    shipped: Library | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTold:
    """What a replay before an activation came to, as whoever activates tells it: counts."""

    decisions: int
    changed: int
    loosened: int


class PolicyAdministration:
    """Activates policies and goes back to earlier ones."""

    def __init__(
        self, *, changes: ControlChanges, room: PolicyRoom, drain_s: float = DRAIN_S
    ) -> None:
        """Make one.

        Args:
            changes: makes the changes.
            room: builds, starts and ends.
            drain_s: seconds that a policy goes on answering after another took its place.
        """
        self._changes = changes
        self._room = room
        self._drain_s = drain_s
        self._switching = asyncio.Lock()
        self._retiring: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Warm the policy that is in force; with none in force there is nothing to do.

        Raises:
            PolicyRefused: what is kept of it does not hold any more.
            PolicyUnavailable: it does not start.
            Defect: nothing is kept of it.
        """
        in_force = await self._changes.look()
        policy = in_force.policy
        if policy is None:
            return
        try:
            bundle = await self._rechecked(policy.revision, in_force)
            _require_families(bundle, policy.families)
        except PolicyRefused as wrong:
            told = (f"The policy in force cannot decide: {finding}" for finding in wrong.findings)
            raise PolicyRefused(told) from wrong
        await self._room.prepare(bundle)

    async def activate(
        self,
        operator: Credential,
        files: Mapping[str, bytes],
        *,
        preset: str = "",
        drop_families: Iterable[str] = (),
        validate_only: bool = False,
        reason: str = "",
        replay: ReplayTold | None = None,
        expected: str = "",
    ) -> Bundle:
        """Check a policy and put it in force.

        Args:
            operator: who does it.
            files: an operator's own tree, path to content.
            preset: the name of the defaults; `balanced` where empty.
            drop_families: families that go on purpose.
            validate_only: check alone.
            reason: for the log; may be empty.
            replay: for the log; None where nothing was replayed.
            expected: the revision that was looked at; any where empty.

        Raises:
            MalformedRequest: it is refused; every finding is told, and nothing changed.
            IllegalTransition: it is another than expected.
            PolicyUnavailable: it does not start; nothing changed.
        """
        why = optional_reason(reason)
        dropped = tuple(drop_families)

        async def choose(in_force: InForce) -> Bundle:
            order = PolicyOrder(
                files=files,
                preset=preset or DEFAULT_PRESET,
                previous_families=in_force.policy.families if in_force.policy else (),
                dropped=dropped,
            )
            bundle = await self._room.build(order, tools=in_force.manifests().values())
            if expected not in {"", bundle.revision}:
                raise IllegalTransition("This is another policy than the one that was looked at.")
            return bundle

        told = {"replay": None if replay is None else asdict(replay)}
        return await self._switch(
            operator, choose, reason=why, validate_only=validate_only, told=told
        )

    async def rollback(self, operator: Credential, revision: str = "", *, reason: str) -> Bundle:
        """Put an earlier policy back in force.

        Args:
            operator: who does it.
            revision: one that was in force; the one before the present where empty.
            reason: required.

        Raises:
            NotFound: it was never in force.
            IllegalTransition: there is none before, or it is in force.
            MalformedRequest: no reason, or it does not hold under the tools in force.
            PolicyUnavailable: it does not start; nothing changed.
        """
        why = required_reason(reason)

        async def choose(in_force: InForce) -> Bundle:
            wanted = revision or (in_force.policy.previous if in_force.policy else "")
            if not wanted:
                raise IllegalTransition("There is no policy before this one.")
            if wanted == in_force.control.policy_revision:
                raise IllegalTransition("This policy is in force.")
            if wanted not in {r for r, _ in await self._changes.store.documents(POLICY)}:
                raise NotFound("No such policy was ever in force.")
            return await self._rechecked(wanted, in_force)

        return await self._switch(operator, choose, reason=why)

    async def kept(self, *, policies_max: int | None = None) -> tuple[KeptPolicy, ...]:
        """Policies that are or were in force, newest first; every one where no number is given."""
        active = self._changes.room.current().policy_revision
        known = await self._changes.store.documents(POLICY)
        found = []
        for revision, first_at in known[:policies_max]:
            bundle = self._room.read(await self._kept(revision))
            found.append(
                KeptPolicy(
                    revision=revision,
                    families=bundle.families,
                    activated_at=first_at,
                    active=revision == active,
                    library=bundle.library,
                    preset=bundle.preset,
                )
            )
        return tuple(found)

    async def libraries(self) -> Libraries:
        """The shipped library in force, and the one that the next policy is built with."""
        revision = self._changes.room.current().policy_revision
        in_force = shipped = None
        with contextlib.suppress(PolicyRefused):
            in_force = self._room.read(await self._kept(revision)).library if revision else None
        with contextlib.suppress(PolicyUnavailable):
            shipped = await self._room.shipped()
        return Libraries(in_force=in_force, shipped=shipped)

    async def require_holding(self, in_force: InForce, tools: Iterable[ToolManifest]) -> None:
        """Check the policy in force under other tools than those in force.

        Raises:
            MalformedRequest: with what it would read that is not there.
        """
        if in_force.policy is None:
            return
        try:
            await self._room.recheck(await self._kept(in_force.policy.revision), tools=tools)
        except PolicyRefused as wrong:
            raise refused(
                "The policy in force does not hold under these tools:",
                wrong.findings,
                field="manifests_json",
            ) from wrong

    @contextlib.asynccontextmanager
    async def beside(self, *revisions: str) -> AsyncGenerator[_Warm]:
        """Let no policy come into force while one that is asked beside it comes or goes.

        Args:
            revisions: those that may go.

        Yields:
            What warms another one. At the end each is retired that nothing in force asks.
        """
        warmed = set(revisions)

        async def warm(bundle: Bundle) -> None:
            self._keep_warm(bundle.revision)
            warmed.add(bundle.revision)
            await self._room.prepare(bundle)

        async with self._switching:
            try:
                yield warm
            finally:
                for revision in warmed - self._wanted():
                    self._retire(revision)

    async def close(self) -> None:
        """End the ones that are being retired now, without waiting any longer."""
        tasks = tuple(self._retiring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _switch(
        self,
        operator: Credential,
        choose: _Choose,
        *,
        reason: str,
        validate_only: bool = False,
        told: Mapping[str, JsonValue] | None = None,
    ) -> Bundle:
        warmed: set[str] = set()

        async def plan(in_force: InForce) -> Planned[Bundle]:
            before = in_force.control.policy_revision
            bundle = await choose(in_force)
            if validate_only or bundle.revision == before:
                return Planned(changes=(), entries=(), answer=bundle)
            self._keep_warm(bundle.revision)
            warmed.update({before, bundle.revision} - {""})
            await self._room.prepare(bundle)
            body = {"before": before, "reason": reason, **(told or {})}
            return self._planned(operator, bundle, before=before, told=body)

        async with self._switching:
            try:
                return await self._changes.make(plan)
            except PolicyRefused as wrong:
                if not validate_only:
                    await self._say_refused(operator, wrong, reason)
                raise refused("This policy is refused:", wrong.findings, field="files") from wrong
            finally:
                for revision in warmed - self._wanted():
                    self._retire(revision)

    def _planned(
        self, operator: Credential, bundle: Bundle, *, before: str, told: Mapping[str, JsonValue]
    ) -> Planned[Bundle]:
        now = self._changes.clock()
        row = policy_row(
            PolicyInForce(
                revision=bundle.revision,
                families=bundle.families,
                previous=before,
                activated_at=now,
                activated_by=operator.subject,
            )
        )
        document = AddDocument(digest=bundle.revision, kind=POLICY, at=now, body=bundle.to_bytes())
        entry = self._changes.entry(
            EntryKind.POLICY_ACTIVATED,
            operator,
            {
                "revision": bundle.revision,
                "families": list(bundle.families),
                "library": asdict(bundle.library) if bundle.library else None,
                **told,
            },
        )
        return Planned(changes=(document, row), entries=(entry,), answer=bundle)

    async def _say_refused(self, operator: Credential, wrong: PolicyRefused, reason: str) -> None:
        entry = self._changes.entry(
            EntryKind.POLICY_REFUSED,
            operator,
            {"findings": [f[:200] for f in wrong.findings[:20]], "reason": reason},
        )
        await self._changes.say(entry)

    async def _kept(self, revision: str) -> bytes:
        kept = await self._changes.store.document(revision)
        if kept is None:
            raise Defect(f"The policy {revision} is not kept.")
        return kept

    async def _rechecked(self, revision: str, in_force: InForce) -> Bundle:
        """The kept policy of a revision, checked anew; what is kept may have been exchanged."""
        kept = await self._kept(revision)
        bundle = await self._room.recheck(kept, tools=in_force.manifests().values())
        if bundle.revision != revision:
            raise PolicyRefused([f"what is kept under {revision} is another policy"])
        return bundle

    def _wanted(self) -> frozenset[str]:
        """The revisions that live calls are asked about."""
        control = self._changes.room.current()
        beside = {control.shadow.revision} if control.shadow else set()
        return frozenset({control.policy_revision} | beside)

    def _keep_warm(self, revision: str) -> None:
        retiring = self._retiring.pop(revision, None)
        if retiring is not None:
            retiring.cancel()

    def _retire(self, revision: str) -> None:
        if revision not in self._retiring:
            self._retiring[revision] = asyncio.create_task(self._retire_later(revision))

    async def _retire_later(self, revision: str) -> None:
        await asyncio.sleep(self._drain_s)
        self._retiring.pop(revision, None)
        if revision not in self._wanted():
            await self._room.retire(revision)


def is_ready(policies: Policies, revision: str) -> bool:
    """Whether the policy of a revision was started, and has answered."""
    try:
        policies.at(revision)
    except PolicyUnavailable:
        return False
    return True


async def is_answering(policies: Policies, revision: str) -> bool:
    """Whether the policy of a revision answers now."""
    try:
        point = policies.at(revision)
    except PolicyUnavailable:
        return False
    return await point.is_answering()


def _require_families(bundle: Bundle, families: Iterable[str]) -> None:
    vanished = sorted(set(families) - set(bundle.families))
    if vanished:
        raise PolicyRefused(
            f"broker/rules/{family}: the family has vanished" for family in vanished
        )

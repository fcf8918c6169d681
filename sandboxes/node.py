"""A node: fixed verbs over one container engine, and nothing else that a caller could choose.

A refusal means that nothing ran. Once a call was handed over, there is one outcome, whatever
happens to the container, to its engine or to who asked.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sandboxes import names
from sandboxes.call_bounds import within_bounds
from sandboxes.containers import Containers, Surroundings
from sandboxes.egress.journal import EgressRequest
from sandboxes.engine import Engine, EngineRefused, EngineUnavailable, ImageFacts, NotThere
from sandboxes.image_findings import ImageFindings
from sandboxes.pool import NoRoom, PoolLimits, Pools
from sandboxes.profile import Profile
from sandboxes.profiles import unavailable_because
from sandboxes.reaper import EVERY_S, reap_directories
from sandboxes.refusals import Reason, Refused
from sandboxes.slot import NotReady, Slot, State
from sandboxes.supervise import CallOrder, Ending, Outcome, supervise
from sandboxes.upkeep import Upkeep

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOrder:
    """What a node is made from.

    Attributes:
        around: what its containers share.
        profiles: by name.
    """

    around: Surroundings
    profiles: Mapping[str, Profile]
    limits: PoolLimits


@dataclass(slots=True, kw_only=True)
class Reservation:
    """A container that waits for one call of whoever reserved it."""

    run: str
    slot: Slot
    profile: Profile
    warm: bool
    outcome: Outcome | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended, and every request that it made outside."""

    outcome: Outcome
    requests: tuple[EgressRequest, ...] = ()
    requests_cut: bool = False


class Node:
    """One node. For the event loop that it is started in."""

    def __init__(self, engine: Engine, order: NodeOrder) -> None:
        """Ask nothing yet.

        Args:
            engine: the only one that it speaks to.
            order: what it is made from.
        """
        self.order = order
        self.runs = 0
        self._engine = engine
        self._reservations: dict[str, Reservation] = {}
        limits = order.limits
        self._containers = Containers(
            engine, order.around, idle_s=limits.idle_s + limits.recycle_s + EVERY_S
        )
        self.pools = Pools(limits=limits, start=self._containers.make, end=self._containers.end)
        self._containers.on_stuck = self.pools.count_on
        self._findings = ImageFindings(engine, node_id=order.around.node_id)
        self._upkeep = Upkeep(
            engine,
            around=order.around,
            containers=self._containers,
            pools=self.pools,
            reading=self._findings.reading,
            changed=self._findings.forget_all,
        )

    @property
    def problem(self) -> str:
        """Why nothing can be promised now; empty where all is well."""
        return self._upkeep.problem

    @property
    def quarantined(self) -> int:
        """Containers that could not be removed."""
        return len(self._containers.quarantined)

    async def start(self) -> None:
        """Remove leftovers, and look after things from now on; an absent engine is waited for."""
        await self._upkeep.start()

    async def close(self) -> None:
        """Kill and remove every container."""
        await self._upkeep.close()
        await self.pools.close()
        reap_directories(self.order.around.directory, ())
        self.order.around.traces.end_lost(())
        await self._engine.close()

    def unavailable_because(self, profile: Profile) -> str:
        """Why this node cannot give a profile; empty where it can."""
        return self.problem or unavailable_because(profile, self._upkeep.facts())

    async def images(self) -> Sequence[tuple[ImageFacts, tuple[str, ...]]]:
        """Images that were made to be sandboxes, each with what lint found.

        Raises:
            Refused: the engine does not answer.
        """
        architecture = self._upkeep.facts().architecture
        try:
            return await self._findings.all(architecture=architecture)
        except (EngineUnavailable, EngineRefused) as lost:
            raise Refused(Reason.ENGINE_UNAVAILABLE, str(lost)) from lost

    async def reserve(
        self, *, image: str, profile: str, profile_digest: str, wait_s: float
    ) -> Reservation:
        """A container that waits.

        Args:
            image: "sha256:…".
            profile: its name.
            profile_digest: that it must have; empty for whichever is in force.
            wait_s: how long to wait for room.

        Raises:
            Refused: nothing ran.
        """
        chosen = self._profile(profile, profile_digest)
        if not _DIGEST.fullmatch(image):
            raise Refused(
                Reason.IMAGE_NOT_BY_DIGEST,
                f"{names.shown(image)} is not an image's digest, sha256: and 64 hexadecimal "
                "digits: a tag can be moved. `callbroker sandbox images list` shows digests.",
            )
        facts = self._upkeep.facts()
        because = unavailable_because(chosen, facts)
        if because:
            raise Refused(Reason.PROFILE_UNAVAILABLE, because)
        await self._require_fit(image, facts.architecture)
        slot, warm = await self._take(image, chosen, wait_s)
        reservation = Reservation(run=slot.run, slot=slot, profile=chosen, warm=warm)
        self._reservations[slot.run] = reservation
        return reservation

    async def run(self, reservation: Reservation, call: CallOrder) -> Ran:
        """Hand the call over, and wait for how it ends.

        Raises:
            Refused: the call is not as it must be; nothing was handed over.
        """
        profile, slot = reservation.profile, reservation.slot
        bounded = within_bounds(call, profile)
        if reservation.cancelled.is_set():
            return Ran(outcome=_cancelled_before())
        gate = slot.order.gate
        if gate is not None and profile.egress is not None:
            gate.open(profile.egress, call.input_json, call.subject)
        self.runs += 1
        outcome = await supervise(
            slot, bounded, engine=self._engine, cancelled=reservation.cancelled
        )
        reservation.outcome = outcome
        if gate is None:
            return Ran(outcome=outcome)
        requests, cut = await gate.close()
        return Ran(outcome=outcome, requests=requests, requests_cut=cut)

    def release(self, reservation: Reservation) -> None:
        """Its run is over, or never began."""
        self._reservations.pop(reservation.run, None)
        slot = reservation.slot
        if reservation.outcome is not None:
            slot.told = _told(reservation, reservation.outcome)
        if slot.state is State.CLAIMED and not reservation.cancelled.is_set():
            self.pools.give_back(slot)
        else:
            self.pools.retire(slot)

    def cancel(self, run: str) -> None:
        """Have a run's container killed.

        Raises:
            Refused: nothing of that name runs here.
        """
        reservation = self._reservations.get(run)
        if reservation is None:
            raise Refused(Reason.UNKNOWN_RUN, "Nothing of that name runs here.")
        reservation.cancelled.set()

    def _profile(self, name: str, digest: str) -> Profile:
        profile = self.order.profiles.get(name)
        if profile is None:
            there = ", ".join(sorted(self.order.profiles))
            raise Refused(
                Reason.UNKNOWN_PROFILE,
                f"There is no profile {names.shown(name)} on this node; there are {there}.",
            )
        if digest not in ("", profile.digest):
            raise Refused(
                Reason.PROFILE_CHANGED,
                f"The profile {name} of this node is not the one that was decided on.",
            )
        return profile

    async def _require_fit(self, image: str, architecture: str) -> None:
        with self._refusing(image):
            findings = await self._findings.of(image, architecture=architecture)
        if findings:
            raise Refused(
                Reason.IMAGE_REFUSED, f"The image is not fit to run: {' '.join(findings)}"
            )

    async def _take(self, image: str, profile: Profile, wait_s: float) -> tuple[Slot, bool]:
        with self._refusing(image):
            return await self.pools.take(image, profile, wait_s=wait_s)

    @contextlib.contextmanager
    def _refusing(self, image: str) -> Iterator[None]:
        """What the engine or an image says, as a refusal."""
        try:
            yield
        except NotThere as missing:
            self._findings.forget(image)
            raise Refused(
                Reason.IMAGE_NOT_FOUND,
                f"There is no image {image} on this node: build or load it there "
                "(`callbroker sandbox build`).",
            ) from missing
        except NoRoom as full:
            raise Refused(Reason.NO_ROOM, str(full)) from full
        except NotReady as broken:
            raise Refused(
                Reason.IMAGE_REFUSED, f"The image's program does not serve: {broken}"
            ) from broken
        except EngineRefused as refused:
            raise Refused(
                Reason.IMAGE_REFUSED, f"The container engine made no container of it: {refused}"
            ) from refused
        except EngineUnavailable as lost:
            raise Refused(Reason.ENGINE_UNAVAILABLE, str(lost)) from lost


def new_node_id() -> str:
    """An id for a new state directory."""
    return secrets.token_hex(8)


def _cancelled_before() -> Outcome:
    return Outcome(
        ending=Ending.KILLED,
        code="CANCELLED",
        message="It was cancelled before anything was handed over.",
    )


def _told(reservation: Reservation, outcome: Outcome) -> Mapping[str, object]:
    return {
        "profile": reservation.profile.name,
        "warm": reservation.warm,
        "ending": outcome.ending.name,
        "code": outcome.code,
        "took_ms": round(outcome.took_s * 1000, 1),
    }

"""A node: fixed verbs over one container engine, and nothing else that a caller could choose.

While the engine does not answer, nothing is promised: reservations are refused with the cause, what
waited is set aside, and what ran is told as unknown. Once it answers again, leftovers are removed
before anything new is started.
"""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from sandboxes import names, seccomp
from sandboxes.egress.journal import EgressRequest
from sandboxes.egress.outside import Outside
from sandboxes.egress.proxy import EgressGate
from sandboxes.engine import (
    Engine,
    EngineFacts,
    EngineRefused,
    EngineUnavailable,
    ImageFacts,
    NotThere,
)
from sandboxes.images import lint
from sandboxes.images.layout import LABEL
from sandboxes.pool import NoRoom, PoolLimits, Pools
from sandboxes.profile import Profile
from sandboxes.profiles import unavailable_because
from sandboxes.reaper import EVERY_S, reap, reap_directories
from sandboxes.refusals import Reason, Refused
from sandboxes.slot import (
    NODE_LABEL,
    POOL_LABEL,
    RUN_LABEL,
    Event,
    NotReady,
    Slot,
    SlotOrder,
    State,
    new_name,
)
from sandboxes.supervise import CallOrder, Ending, Outcome, supervise
from sandboxes.uids import Uids

LOOK_S: Final = 2.0
LOST_LOOK_S: Final = 0.5
INPUT_BYTES_MAX: Final = 1 << 20
DEADLINE_LABEL: Final = "callbroker.deadline"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOrder:
    """What a node is made from.

    Attributes:
        node_id: stable for a state directory.
        directory: for sockets of ways out; the node's alone.
        profiles: by name.
        now: the time, for labels alone.
    """

    node_id: str
    directory: Path
    profiles: Mapping[str, Profile]
    limits: PoolLimits
    uids: Uids
    outside: Outside
    now: Callable[[], datetime]


@dataclass(slots=True, kw_only=True)
class Reservation:
    """A container that waits for one call of whoever reserved it."""

    run: str
    slot: Slot
    profile: Profile
    warm: bool
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
        self.problem = "The container engine was not asked yet."
        self.pools = Pools(limits=order.limits, start=self._make, end=self._end)
        self._engine = engine
        self._facts: EngineFacts | None = None
        self._seccomp = ""
        self._slots: dict[str, Slot] = {}
        self._reservations: dict[str, Reservation] = {}
        self._findings: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._reaped_at_s = 0.0

    @property
    def quarantined(self) -> int:
        """Containers that could not be removed."""
        return sum(slot.state is State.QUARANTINED for slot in self._slots.values())

    async def start(self) -> None:
        """Remove leftovers and look after things from now on; an absent engine is waited for."""
        await self._look()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Kill and remove every container."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await self.pools.close()
        reap_directories(self.order.directory, ())
        await self._engine.close()

    def unavailable_because(self, profile: Profile) -> str:
        """Why this node cannot give a profile; empty where it can."""
        return self.problem or unavailable_because(profile, self._known_facts())

    async def images(self) -> Sequence[tuple[ImageFacts, tuple[str, ...]]]:
        """Images that were made to be sandboxes, each with what lint found.

        Raises:
            Refused: the engine does not answer.
        """
        self._require_engine()
        try:
            found = await self._engine.images(f"{LABEL}=1")
            return [(image, await self._lint(image.digest)) for image in found]
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
        self._require_engine()
        because = unavailable_because(chosen, self._known_facts())
        if because:
            raise Refused(Reason.PROFILE_UNAVAILABLE, because)
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
        bounded = _bounded(call, profile)
        if reservation.cancelled.is_set():
            return Ran(outcome=_cancelled_before())
        if slot.order.gate is not None and profile.egress is not None:
            slot.order.gate.open(profile.egress, call.input_json, call.subject)
        self.runs += 1
        outcome = await supervise(
            slot, bounded, engine=self._engine, cancelled=reservation.cancelled
        )
        _log_outcome(reservation, outcome)
        if slot.order.gate is None:
            return Ran(outcome=outcome)
        requests, cut = await slot.order.gate.close()
        return Ran(outcome=outcome, requests=requests, requests_cut=cut)

    def release(self, reservation: Reservation) -> None:
        """Its run is over, or never began."""
        self._reservations.pop(reservation.run, None)
        slot = reservation.slot
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

    # -- reserving

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

    def _require_engine(self) -> None:
        if self.problem:
            raise Refused(Reason.ENGINE_UNAVAILABLE, self.problem)

    def _known_facts(self) -> EngineFacts:
        if self._facts is None:
            raise Refused(Reason.ENGINE_UNAVAILABLE, self.problem)
        return self._facts

    async def _take(self, image: str, profile: Profile, wait_s: float) -> tuple[Slot, bool]:
        try:
            findings = await self._lint(image)
            if findings:
                raise Refused(
                    Reason.IMAGE_REFUSED, f"The image is not fit to run: {' '.join(findings)}"
                )
            return await self.pools.take(image, profile, wait_s=wait_s)
        except NotThere as missing:
            self._findings.pop(image, None)
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

    async def _lint(self, digest: str) -> tuple[str, ...]:
        """Once for each image; whoever asks meanwhile waits for the same look."""
        looking = self._findings.get(digest)
        if looking is None:
            looking = asyncio.create_task(self._look_into(digest))
            self._findings[digest] = looking
            looking.add_done_callback(lambda done: self._keep_findings(digest, done))
        return await asyncio.shield(looking)

    def _keep_findings(self, digest: str, looked: "asyncio.Task[tuple[str, ...]]") -> None:
        if looked.cancelled() or looked.exception() is not None:
            self._findings.pop(digest, None)

    async def _look_into(self, digest: str) -> tuple[str, ...]:
        facts = await self._engine.image(digest)
        modes = await self._engine.file_modes(digest)
        return lint.findings(facts, modes, architecture=self._known_facts().architecture)

    # -- one container

    async def _make(self, image: str, profile: Profile) -> Slot:
        name = new_name()
        directory = self.order.directory / name
        uid = self.order.uids.take()
        gate = None
        if profile.egress is not None:
            gate = EgressGate(directory, self.order.outside, peer_uid=uid)
        order = SlotOrder(
            name=name,
            image=image,
            profile=profile,
            uid=uid,
            seccomp=self._seccomp,
            labels=self._labels(name, image, profile),
            gate=gate,
            egress_directory=None if gate is None else directory,
        )
        slot = Slot(self._engine, order, started_at_s=asyncio.get_running_loop().time())
        self._slots[name] = slot
        try:
            await _open_way_out(gate)
            await slot.start()
        except BaseException:
            if slot.errors:
                _log.warning("sandbox_errors", run=slot.run, errors=_text(slot.errors))
            slot.happen(Event.END)
            await self._end(slot)
            raise
        return slot

    def _labels(self, name: str, image: str, profile: Profile) -> Mapping[str, str]:
        # For people and their tools; the node itself goes by what it owns.
        limits = self.order.limits
        latest_s = limits.idle_s + limits.recycle_s + profile.wall_s_max + EVERY_S
        deadline = self.order.now() + timedelta(seconds=latest_s)
        return {
            NODE_LABEL: self.order.node_id,
            RUN_LABEL: name,
            POOL_LABEL: f"{profile.digest[-12:]}/{image}",
            DEADLINE_LABEL: deadline.isoformat(timespec="seconds"),
        }

    async def _end(self, slot: Slot) -> None:
        """Kill and remove; where the engine does not say that it is gone, set aside."""
        slot.hang_up()
        if slot.order.gate is not None:
            await slot.order.gate.close()
        if self.problem:  # no call that can only hang
            slot.happen(Event.STUCK)
            return
        try:
            await self._engine.remove(slot.container or slot.order.name)
        except (EngineUnavailable, EngineRefused) as stuck:
            slot.happen(Event.STUCK)
            _log.warning("sandbox_quarantined", run=slot.run, why=str(stuck))
        else:
            self._gone(slot)

    def _gone(self, slot: Slot) -> None:
        slot.happen(Event.REMOVED)
        self._slots.pop(slot.order.name, None)
        self.order.uids.give_back(slot.order.uid)

    # -- the engine

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOST_LOOK_S if self.problem else LOOK_S)
            await self._look()

    async def _look(self) -> None:
        """Whether the engine answers; what follows from that."""
        now_s = asyncio.get_running_loop().time()
        try:
            if self.problem:
                await self._recover()
                self._reaped_at_s = now_s
            elif now_s - self._reaped_at_s >= EVERY_S:
                await self._reap()
                self._reaped_at_s = now_s
            else:
                await self._engine.ping()
        except (EngineUnavailable, EngineRefused) as lost:
            self._lost(lost)
        self.pools.tidy()

    def _lost(self, error: EngineUnavailable | EngineRefused) -> None:
        told = str(error)
        if not self.problem or self._facts is None:
            self.problem = told
            _log.error("engine_lost", why=told)
            self.pools.refuse(EngineUnavailable(told))

    def _watch_ended(self) -> None:
        self._lost(EngineUnavailable("The container engine was stopped, killed or restarted."))

    async def _recover(self) -> None:
        facts = await self._engine.facts()
        await self._engine.watch(self._watch_ended)
        if self._facts is not None and self._facts.engine_id != facts.engine_id:
            _log.warning("engine_changed", before=self._facts.engine_id, now=facts.engine_id)
            self._findings.clear()
        self._facts = facts
        known = facts.architecture in seccomp.ARCHITECTURES  # else no profile can be given
        self._seccomp = seccomp.stored(facts.architecture) if known else ""
        await self._reap()
        self.problem = ""
        _log.info("engine_answers", version=facts.version, kernel=facts.kernel)
        self.pools.resume()

    async def _reap(self) -> None:
        """Remove what no slot owns; what was set aside is owned by none."""
        stuck = [s for s in self._slots.values() if s.state is State.QUARANTINED]
        removed = await reap(self._engine, self.order.node_id, owned=self._owned)
        for slot in stuck:
            self._gone(slot)
            self.pools.forget(slot)
        removed += reap_directories(self.order.directory, self._owned())
        if removed:
            _log.info("leftovers_removed", count=removed)

    def _owned(self) -> frozenset[str]:
        return frozenset(
            name for name, slot in self._slots.items() if slot.state is not State.QUARANTINED
        )


async def _open_way_out(gate: EgressGate | None) -> None:
    if gate is None:
        return
    try:
        await gate.start()
    except OSError as failed:
        raise NotReady(f"Its way out could not be made: {failed.strerror}.") from failed


def new_node_id() -> str:
    """An id for a new state directory."""
    return secrets.token_hex(8)


def _bounded(call: CallOrder, profile: Profile) -> CallOrder:
    """The call, with no more time than the profile allows.

    Raises:
        Refused: BAD_REQUEST.
    """
    if len(call.input_json) > INPUT_BYTES_MAX:
        raise _bad(f"The input has {len(call.input_json)} bytes; {INPUT_BYTES_MAX} are allowed.")
    try:
        is_object = isinstance(json.loads(call.input_json.decode()), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise _bad("The input is not one JSON object.")
    if len(call.files) > profile.files_max:
        raise _bad(f"There are {len(call.files)} files; {profile.files_max} are allowed.")
    size = sum(len(file.content) for file in call.files)
    if size > profile.files_bytes_max:
        raise _bad(f"The files have {size} bytes; {profile.files_bytes_max} are allowed.")
    wrong = names.finding_of_all(file.name for file in call.files)
    if wrong:
        raise _bad(wrong)
    if call.deadline_s <= 0:
        raise _bad("The deadline is not a positive number of seconds.")
    return CallOrder(
        input_json=call.input_json,
        files=call.files,
        deadline_s=min(call.deadline_s, profile.wall_s_max),
        subject=call.subject,
    )


def _bad(message: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, message)


def _cancelled_before() -> Outcome:
    return Outcome(
        ending=Ending.KILLED,
        code="CANCELLED",
        message="It was cancelled before anything was handed over.",
    )


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _log_outcome(reservation: Reservation, outcome: Outcome) -> None:
    slot = reservation.slot
    say = _log.info if outcome.ending is Ending.ANSWERED else _log.warning
    say(
        "sandbox_ended",
        run=reservation.run,
        profile=reservation.profile.name,
        warm=reservation.warm,
        ending=outcome.ending.name,
        code=outcome.code,
        took_ms=round(outcome.took_s * 1000, 1),
        errors=_text(slot.errors),
    )

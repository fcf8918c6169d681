"""Every container of a node, from before it is made until the engine says that it is gone.

What a container is made with comes from its profile and from here; what a caller says has no way
in. One of which the engine does not say that it is gone stays on the books.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from sandboxes.egress.outside import Outside
from sandboxes.egress.proxy import EgressGate
from sandboxes.engine import Engine, EngineRefused, EngineUnavailable, NotThere
from sandboxes.profile import Profile
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
from sandboxes.traces import Traces
from sandboxes.uids import Uids

DEADLINE_LABEL: Final = "callbroker.deadline"
ENDS_ITSELF_WITHIN_S: Final = 0.2  # after it closed its output
ENDED_WITHIN_S: Final = 5.0  # of the signal that kills it
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all containers of a node share.

    Attributes:
        node_id: stable for a state directory.
        directory: for sockets of ways out; the node's alone.
        now: the time, for labels alone.
        traces: of those that may run.
    """

    node_id: str
    directory: Path
    uids: Uids
    outside: Outside
    now: Callable[[], datetime]
    traces: Traces = field(default_factory=Traces)


class Containers:
    """The books.

    Attributes:
        seccomp: the allow-list's text for the engine's architecture.
        is_engine_lost: nothing is asked of it then.
        are_uids_mapped: a container's uid is another one outside (user namespaces), so that a
            socket cannot tell its own container by it.
        on_stuck: is told of each that came to nothing and could not be removed.
    """

    def __init__(self, engine: Engine, surroundings: Surroundings, *, idle_s: float) -> None:
        """None yet.

        Args:
            engine: that will have them.
            surroundings: what they share.
            idle_s: how long one may wait at most.
        """
        self.seccomp = ""
        self.is_engine_lost = True
        self.are_uids_mapped = False
        self.on_stuck: Callable[[Slot], None] = lambda _: None
        self._engine = engine
        self._around = surroundings
        self._idle_s = idle_s
        self._slots: dict[str, Slot] = {}

    @property
    def quarantined(self) -> tuple[Slot, ...]:
        """Those that could not be removed."""
        return tuple(s for s in self._slots.values() if s.state is State.QUARANTINED)

    def owned(self) -> frozenset[str]:
        """Names of those that somebody here looks after."""
        return frozenset(
            name for name, slot in self._slots.items() if slot.state is not State.QUARANTINED
        )

    async def make(self, image: str, profile: Profile) -> Slot:
        """One that waits for a question.

        Raises:
            NotReady, EngineRefused, EngineUnavailable: as `Slot.start`; nothing of it is left, or
                it is on the books.
        """
        order = self._order(image, profile)
        slot = Slot(
            self._engine,
            order,
            started_at_s=asyncio.get_running_loop().time(),
            created=lambda container: self._around.traces.note(container, order.name),
        )
        self._slots[order.name] = slot
        try:
            await _open_way_out(order.gate)
            await slot.start()
        except BaseException:
            if slot.errors:
                _log.warning("sandbox_errors", run=slot.run, errors=printed(slot.errors))
            slot.happen(Event.END)
            await self.end(slot)
            if slot.state is State.QUARANTINED:
                self.on_stuck(slot)
            raise
        return slot

    async def end(self, slot: Slot) -> None:
        """Kill and remove; where the engine does not say that it is gone, set it aside."""
        slot.hang_up()
        if slot.order.gate is not None:
            await slot.order.gate.close()
        if self.is_engine_lost:  # no call that can only hang
            slot.happen(Event.STUCK)
            _log_end(slot)
            return
        try:
            try:
                await self._read_end(slot)
            finally:
                _log_end(slot)
            await self._engine.remove(slot.container or slot.order.name)
        except (EngineUnavailable, EngineRefused) as stuck:
            slot.happen(Event.STUCK)
            _log.warning("sandbox_quarantined", run=slot.run, why=str(stuck))
        else:
            if slot.interruptions == self._engine.interruptions:
                self._around.traces.drop(slot.container)
            self.strike(slot)

    def strike(self, slot: Slot) -> None:
        """The engine says that it is gone."""
        slot.happen(Event.REMOVED)
        self._slots.pop(slot.order.name, None)
        self._around.uids.give_back(slot.order.uid)

    async def _read_end(self, slot: Slot) -> None:
        """How one ended that was handed a call: once it is removed, nobody can say."""
        if not slot.was_asked:
            return
        if slot.last_state is not None and not slot.last_state.running:
            return
        with contextlib.suppress(NotThere):
            state = await self._engine.ended(slot.container, within_s=ENDS_ITSELF_WITHIN_S)
            if state is None:  # what has answered may still run
                await self._engine.kill(slot.container)
                state = await self._engine.ended(slot.container, within_s=ENDED_WITHIN_S)
            slot.last_state = state

    def _order(self, image: str, profile: Profile) -> SlotOrder:
        name, uid = new_name(), self._around.uids.take()
        directory = self._around.directory / name
        gate = None
        if profile.egress is not None:
            seen_as = None if self.are_uids_mapped else uid
            gate = EgressGate(directory, self._around.outside, peer_uid=seen_as)
        return SlotOrder(
            name=name,
            image=image,
            profile=profile,
            uid=uid,
            seccomp=self.seccomp,
            labels=self._labels(name, image, profile),
            gate=gate,
            egress_directory=None if gate is None else directory,
        )

    def _labels(self, name: str, image: str, profile: Profile) -> Mapping[str, str]:
        # The deadline is for people and their tools; the node itself goes by its books.
        latest = self._around.now() + timedelta(seconds=self._idle_s + profile.wall_s_max)
        return {
            NODE_LABEL: self._around.node_id,
            RUN_LABEL: name,
            POOL_LABEL: f"{profile.digest[-12:]}/{image}",
            DEADLINE_LABEL: latest.isoformat(timespec="seconds"),
        }


def _log_end(slot: Slot) -> None:
    """One line for each run, once all of it is known, and when nobody waits for it."""
    if not slot.told:
        return
    say = _log.info if slot.told["ending"] == "ANSWERED" else _log.warning
    state = slot.last_state
    say(
        "sandbox_ended",
        run=slot.run,
        **slot.told,
        exit_code=None if state is None else state.exit_code,
        out_of_memory=state is not None and state.out_of_memory,
        errors=printed(slot.errors),
    )


def printed(errors: bytes) -> str:
    """Somebody's standard error, for the log, which escapes it."""
    return errors.decode(errors="backslashreplace")


async def _open_way_out(gate: EgressGate | None) -> None:
    if gate is None:
        return
    try:
        await gate.start()
    except OSError as failed:
        raise NotReady(f"Its way out could not be made: {failed.strerror}.") from failed

"""Crash points are counted, not named in the code that crashes: around each call of a port.

Proxies stand between a broker and its ports and tell a `Points` of whatever goes by. At the point
that it was told, the process is gone, as by `kill -9`: no `finally`, no flush, no goodbye.
"""

import os
import signal
from dataclasses import dataclass, field
from typing import Any

from broker.core.manifest import ToolManifest
from broker.ports import FrozenCall, Outcome, Runner, Slot

_WRITING = frozenset({"commit"})


@dataclass
class Points:
    """Counts what goes by.

    Attributes:
        kill_at: the point, from 1, at which the process ends; 0 for none.
        passed: the names of those that went by, in order.
    """

    kill_at: int = 0
    passed: list[str] = field(default_factory=list)

    def at(self, name: str) -> None:
        """Here is one."""
        self.passed.append(name)
        if len(self.passed) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class PointedPort:
    """Any port: a point before each call of it, and after each that writes."""

    def __init__(self, port: Any, points: Points, name: str) -> None:
        self._port = port
        self._points = points
        self._name = name

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._port, name)
        if not callable(called):
            return called

        async def pointed(*given: Any, **named: Any) -> Any:
            self._points.at(f"{self._name}.{name} before")
            answer = await called(*given, **named)
            if name in _WRITING:
                self._points.at(f"{self._name}.{name} after")
            return answer

        return pointed


class PointedRunner:
    """Implements `ports.Runner` over another one."""

    def __init__(self, runner: Runner, points: Points) -> None:
        self._runner = runner
        self._points = points

    async def reserve(self, manifest: ToolManifest, **named: Any) -> Slot:
        self._points.at("runner.reserve before")
        slot = await self._runner.reserve(manifest, **named)
        return PointedSlot(slot, self._points)


class PointedSlot:
    """Implements `ports.Slot` over another one."""

    def __init__(self, slot: Slot, points: Points) -> None:
        self._slot = slot
        self._points = points

    async def run(self, call: FrozenCall) -> Outcome:
        self._points.at("slot.run before")
        outcome = await self._slot.run(call)
        self._points.at("slot.run after")
        return outcome

    def release(self) -> None:
        self._points.at("slot.release before")
        self._slot.release()

    def acknowledge(self) -> None:
        self._points.at("slot.acknowledge before")
        self._slot.acknowledge()

"""How the broker is at a moment, as figures: read when somebody asks, at most every few seconds."""

import math
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from broker.administration.overview import Status
from broker.core.control import Control
from broker.core.limits import CREDENTIAL_EXPIRING_S
from broker.ports import Clock, HoldQuery, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is looked at.

    Attributes:
        heads: the file of signed heads outside of the database.
    """

    status: Callable[[], Awaitable[Status]]
    control: Callable[[], Control]
    store: Store
    heads: Path
    clock: Clock


class Gauges:
    """Sets each to what is so now."""

    def __init__(self, registry: CollectorRegistry, watched: Watched) -> None:
        """Make them; nothing is looked at yet."""
        self._watched = watched

        def gauge(name: str, told: str, *labels: str) -> Gauge:
            return Gauge(f"callbroker_{name}", told, labels, registry=registry)

        self._info = gauge("info", "This release and the policy in force.", "version", "policy")
        self._policy_ready = gauge("policy_ready", "1 where the policy in force answers.")
        self._control = gauge("control_revision", "Of what is in force.")
        self._tools = gauge("tools", "Tools in force.")
        self._unserved = gauge("tools_unserved", "Tools of workers that no worker here has.")
        self._pending = gauge("holds_pending", "Holds that wait for people.")
        self._oldest = gauge("hold_oldest_age_seconds", "Age of the oldest of them.")
        self._running = gauge("invocations_running", "Calls under way, of all brokers.")
        self._unknown = gauge("invocations_unknown", "Calls of which nobody knows the end.")
        self._entries = gauge("audit_entries", "Entries of the log.")
        self._unsigned = gauge("audit_entries_unsigned", "Entries that no signed head covers yet.")
        self._head = gauge(
            "audit_head_age_seconds", "Since a head was written outside; Inf: none is."
        )
        self._workers = gauge("workers", "Workers connected here.")
        self._slots = gauge("worker_slots", "Calls that they can have at once.")
        self._free = gauge("worker_slots_free", "Of these, free.")
        self._nodes = gauge("sandbox_nodes", "Sandbox nodes in the settings.", "ready")
        self._due = gauge("notices_due", "Notices that are due.", "channel")
        self._dead = gauge("notices_given_up", "Notices that were given up.", "channel")
        self._freezes = gauge("freezes", "Freezes in force.")
        self._freeze_age = gauge("freeze_oldest_age_seconds", "Age of the oldest of them.")
        self._expiring = gauge("credentials_expiring", "Credentials that end within two weeks.")
        self._disk = gauge("disk_free_bytes", "Room beside the state directory.")
        self._disk_size = gauge("disk_size_bytes", "All of that file system.")

    async def look(self) -> None:
        """Look at everything.

        Raises:
            StoreUnavailable: the database does not answer; what needs none is set all the same.
        """
        now = self._watched.clock()
        self._of_control(now)
        usage = shutil.disk_usage(self._watched.heads.parent.parent)
        self._disk.set(usage.free)
        self._disk_size.set(usage.total)
        self._head.set(_age_of(self._watched.heads, now))
        self._of_status(await self._watched.status())
        holds = await self._watched.store.list_holds(HoldQuery(page_size=1))
        self._oldest.set(max(now - holds[0][0].created_at, 0.0) if holds else 0.0)

    def _of_control(self, now: float) -> None:
        control = self._watched.control()
        active = [f for f in control.freezes if f.is_in_force(now=now)]
        self._freezes.set(len(active))
        self._freeze_age.set(max((now - f.created_at for f in active), default=0.0))
        self._expiring.set(
            sum(
                c.is_good(now=now) and c.expires_at - now < CREDENTIAL_EXPIRING_S
                for c in control.credentials.values()
            )
        )

    def _of_status(self, status: Status) -> None:
        self._info.clear()
        self._info.labels(status.about.version, status.policy_revision).set(1)
        self._policy_ready.set(status.policy_ready)
        self._control.set(status.control_revision)
        self._tools.set(status.tools)
        counts = status.counts
        self._pending.set(counts.holds_pending)
        self._running.set(counts.running)
        self._unknown.set(counts.unknown)
        self._entries.set(counts.audit_entries)
        self._unsigned.set(counts.audit_entries - counts.audit_entries_signed)
        self._workers.set(len(status.workers))
        self._slots.set(sum(worker.slots for worker in status.workers))
        self._free.set(sum(worker.free for worker in status.workers))
        served = {tool for worker in status.workers for tool in worker.tools}
        wanted = {
            name
            for name, tool in self._watched.control().tools.items()
            if tool.manifest.runner == "worker"
        }
        self._unserved.set(len(wanted - served))
        ready = sum(node.is_ready for node in status.sandbox_nodes)
        self._nodes.labels("true").set(ready)
        self._nodes.labels("false").set(len(status.sandbox_nodes) - ready)
        for channel in status.channels:
            self._due.labels(channel.name).set(channel.tally.due)
            self._dead.labels(channel.name).set(channel.tally.dead)


def _age_of(heads: Path, now: float) -> float:
    """Since the file was written to; for ever where it was taken away, as each broker makes one."""
    try:
        return max(now - heads.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return math.inf

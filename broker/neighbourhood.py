"""What a broker does because others have the same database: all of it is nothing on a file.

It says that it is there and watches the others; names travel both ways; what others put in force
comes into force here; workers hear where to find everybody. Nothing that is right depends on any of
it: conditions in the database do that. So a broker believes others in nothing but that they are
there, and that there is something to be read again.
"""

from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from broker import __version__
from broker.administration import Administration
from broker.administration.following import Following
from broker.control_room import ControlRoom
from broker.core.brokers import BrokerRow
from broker.enforcer.resuming import Claimed, alone
from broker.events import Events
from broker.permits import Permits
from broker.policy.patient import PatientPolicies
from broker.ports import Clock, Policies
from broker.presence import Presence
from broker.store import SqlStore
from broker.tools.worker import BrokerAddress, BrokersTold, WorkerHub


@dataclass(slots=True, kw_only=True)
class Neighbourhood:
    """The brokers over one database, as one of them sees them."""

    store: SqlStore
    presence: Presence
    events: Events
    workers: WorkerHub | None = None

    def reach(self, workers: WorkerHub) -> None:
        """Have workers told, from the first welcome on: one without brokers is of one alone.

        A worker that was welcomed so says nothing of the others' calls until it comes again.
        """
        self.workers = workers
        self.told(self.presence.live)

    def patient(self, policies: Policies) -> Policies:
        """Policies that may be on their way, where others put them in force."""
        return PatientPolicies(policies) if self.store.is_shared else policies

    def work(self, url: str, *, is_listening: bool) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on from the first moment."""
        if not self.store.is_shared:
            return
        from broker.store.listening import Listening  # noqa: PLC0415 - it needs a server's driver

        listening = Listening(
            url,
            broker=self.presence.name,
            hear=self.events.deliver,
            resync=self.events.resync,
            is_on=is_listening,
        )
        self.events.relay = listening
        yield listening.run()
        yield self.presence.run()

    def claiming(self, url: str, closing: AsyncExitStack) -> Claimed:
        """Have work that any of the brokers may do for one of them; its own where it is alone."""
        if not self.store.is_shared:
            return alone
        from broker.store.claims import Claims  # noqa: PLC0415 - it needs a server's driver

        claims = Claims(url)
        closing.push_async_callback(claims.close)
        return claims.claimed

    def permitting(self, permits: Permits) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on for as long as anything is under way: words and approvals from elsewhere."""
        if self.store.is_shared:
            yield permits.follow_reports()
            yield permits.follow_holds()

    def following(
        self, room: ControlRoom, administration: Administration, *, warm: Policies
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on once the policy in force answers."""
        if not self.store.is_shared:
            return
        yield room.follow()
        yield Following(
            policies=administration.policies,
            shadow=administration.shadow,
            warm=warm,
            room=room,
            events=self.events,
        ).run()

    def told(self, live: tuple[BrokerRow, ...]) -> None:
        """Brokers have come or gone: what one that went knew is not told any more."""
        if self.workers is not None and self.store.is_shared:
            self.workers.tell(
                BrokersTold(
                    brokers=tuple(
                        BrokerAddress(broker=row.name, address=row.address)
                        for row in live
                        if row.address
                    )
                )
            )
        self.events.resync()


async def meet(
    store: SqlStore, events: Events, *, name: str, former: frozenset[str], clock: Clock
) -> Neighbourhood:
    """Say that a broker is there, before it does anything else.

    Args:
        store: of all of them.
        events: of this one.
        name: its own.
        former: of those that are surely gone.
        clock: POSIX seconds.

    Raises:
        StoreUnavailable: it cannot be said.
    """
    now = clock()
    me = BrokerRow(name=name, address="", version=__version__, started_at=now, seen_at=now, beats=0)
    presence = Presence(store=store, me=me, clock=clock, former=former)
    met = Neighbourhood(store=store, presence=presence, events=events)
    presence.changed = met.told
    await presence.join()
    return met

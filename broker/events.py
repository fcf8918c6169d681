"""Says that something changed, never what: whoever is told reads the store again.

Within one event loop, and through a `Relay` to the other brokers over one database; nothing here is
durable and nothing depends on it for being right, only for being prompt. A subscriber that falls
behind loses names, never the fact that it lost some: it finds one `RESYNC` in their place, and
reads everything that it follows again. What comes from another broker is a name and no more.

Subscribe before reading the state that you wait on, or a change in between is missed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal, Protocol, get_args

Topic = Literal["invocation", "hold", "control", "key", "report"]
TOPICS: Final[frozenset[str]] = frozenset(get_args(Topic))

RESYNC: Final = ""
"""Stands for names that a slow subscriber has lost."""

QUEUE_NAMES_MAX: Final = 1_000


class Subscription:
    """The names published since it began, each once however often, oldest first.

    Iterates for ever; leaving the `with` block of `Events.subscribe` ends an iteration under way.
    """

    def __init__(self, *, names_max: int) -> None:
        self._names: deque[str] = deque()
        self._queued: set[str] = set()
        self._names_max = names_max
        self._changed = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._names:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        name = self._names.popleft()
        self._queued.discard(name)
        return name

    async def next(self, timeout_s: float) -> str | None:
        """The next name, or None where none came within `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(self)
        except (TimeoutError, StopAsyncIteration):
            return None

    def offer(self, name: str) -> None:
        """Queue a name. One that waits already is not queued twice; too many become RESYNC."""
        if name in self._queued:
            return
        if len(self._names) >= self._names_max:
            self._names.clear()
            self._queued.clear()
            name = RESYNC
        self._names.append(name)
        self._queued.add(name)
        self._changed.set()

    def close(self) -> None:
        """End it; what is queued can still be read."""
        self._closed = True
        self._changed.set()


class Relay(Protocol):
    """Carries names to the events of other brokers."""

    def tell(self, topic: Topic, name: str) -> None:
        """Have the others told, soon or not at all. Never blocks and never fails."""
        ...


class Events:
    """Tells subscribers which names of a topic changed. For one event loop; not thread-safe.

    Attributes:
        relay: to other brokers; None where there are none.
    """

    def __init__(self, *, names_max: int = QUEUE_NAMES_MAX, relay: Relay | None = None) -> None:
        """Make one.

        Args:
            names_max: names that a subscriber may lag behind before it is sent RESYNC.
            relay: to other brokers.
        """
        self.relay = relay
        self._names_max = names_max
        self._subscriptions: dict[tuple[Topic, str], set[Subscription]] = {}

    def publish(self, topic: Topic, name: str) -> None:
        """Tell whoever follows the topic, or this name of it, here and at other brokers.

        Never blocks and never fails.
        """
        self.deliver(topic, name)
        if self.relay is not None:
            self.relay.tell(topic, name)

    def deliver(self, topic: Topic, name: str) -> None:
        """Tell those of this broker alone."""
        for follows in ("", name):
            for subscription in self._subscriptions.get((topic, follows), ()):
                subscription.offer(name)

    def resync(self) -> None:
        """Names may have been lost: all read again what they follow."""
        for subscriptions in tuple(self._subscriptions.values()):
            for subscription in tuple(subscriptions):
                subscription.offer(RESYNC)

    @contextlib.contextmanager
    def subscribe(self, topic: Topic, name: str = "") -> Iterator[Subscription]:
        """Follow a topic, or one name of it, from now until the block is left.

        Args:
            topic: what kind of thing.
            name: only this one; empty for all.

        Yields:
            The subscription, to be iterated or asked for its `next`.
        """
        subscription = Subscription(names_max=self._names_max)
        subscriptions = self._subscriptions.setdefault((topic, name), set())
        subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            subscription.close()
            subscriptions.discard(subscription)
            if not subscriptions:
                self._subscriptions.pop((topic, name), None)

    async def wait(self, topic: Topic, name: str, timeout_s: float) -> bool:
        """Wait for the next publication of a name; False where none came in `timeout_s` seconds.

        What was published before the call does not count: where that matters, use `subscribe`.
        """
        with self.subscribe(topic, name) as subscription:
            return await subscription.next(timeout_s) is not None

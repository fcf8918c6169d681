"""Names travel between brokers by LISTEN and NOTIFY; nothing but promptness depends on them.

One connection listens and another tells, each its own and made again for ever. While nobody listens
here, or something may have been lost on the way, all who follow something read it again: at once
when listening begins, and every second until then. It has begun once this broker has heard its own
word, and is over once that is not heard any more: what stands between may answer, and pass on
nothing, as a pooler of transactions does. Who could write to the channel can wake readers,
and that is all: what is heard is a topic and a name, checked for their form, and looked up.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, cast

import psycopg
import sqlalchemy as sa
import structlog

from broker.core.limits import NAME_CHARACTERS_MAX, STORE_DEADLINE_S
from broker.events import TOPICS, Topic
from broker.store import postgres

CHANNEL: Final = "callbroker_events"
POLL_S: Final = 1.0
ALIVE_S: Final = 5.0
"""Seconds in which it has to hear a word, its own at least, that it has told by the other one."""
NAMES_MAX: Final = 10_000
PAYLOAD_BYTES_MAX: Final = 7_500  # PostgreSQL takes 8000


class _NothingHeard(Exception):
    """Not even one's own word."""


_log: Final = structlog.get_logger(__name__)
_Said = tuple[str, str]
_LOST: Final[_Said] = ("", "")
"""Told in place of names that could not be told."""


class Listening:
    """Implements `events.Relay`; `run` it beside everything else.

    Attributes:
        is_listening: whether what others tell is heard now.
    """

    def __init__(
        self,
        url: str,
        *,
        broker: str,
        hear: Callable[[Topic, str], None],
        resync: Callable[[], None],
        is_on: bool = True,
    ) -> None:
        """Make one; nothing is opened yet.

        Args:
            url: of a PostgreSQL database.
            broker: this one's name, by which it knows its own words.
            hear: told each name that another broker tells.
            resync: told that names may have been lost.
            is_on: whether to listen; without, everything is polled.
        """
        self.is_listening = False
        self._url = url
        self._broker = broker
        self._hear = hear
        self._resync = resync
        self._is_on = is_on
        self._names: dict[_Said, None] = {}
        self._waiting = asyncio.Event()
        self._is_asked = False  # for its own word

    def tell(self, topic: Topic, name: str) -> None:
        """Have the others told."""
        if len(self._names) >= NAMES_MAX:
            self._names = {_LOST: None}
        self._names[(topic, name)] = None
        self._waiting.set()

    async def run(self) -> None:
        """For ever. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self._tell))
            tasks.create_task(self._poll())
            if self._is_on:
                tasks.create_task(self._again(self._listen))

    async def _again(self, work: Callable[[psycopg.AsyncConnection[Any]], Any]) -> None:
        """Do it on a connection, and on another one whenever that is lost."""
        while True:
            try:
                async with _connected(self._url) as connection:
                    await work(connection)
            except Exception as error:  # noqa: BLE001 - without it every name would come late
                _log.warning("events_not_relayed", why=str(error) or type(error).__name__)
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            if not self.is_listening:
                self._resync()

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        async with asyncio.timeout(STORE_DEADLINE_S):
            await connection.execute(f"LISTEN {CHANNEL}")
        try:
            while True:
                self._is_asked = True
                self._waiting.set()
                is_heard = False
                async for told in connection.notifies(timeout=ALIVE_S):
                    is_heard = True
                    if not self.is_listening:
                        self.is_listening = True
                        self._resync()
                    self._heard(told.payload)
                if not is_heard:
                    raise _NothingHeard("Nothing is heard, not even its own word.")
        finally:
            self.is_listening = False

    async def _tell(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            await self._waiting.wait()
            names, self._names = tuple(self._names), {}
            self._waiting.clear()
            try:
                for payload in _payloads(self._broker, names) if names else self._own_word():
                    async with asyncio.timeout(STORE_DEADLINE_S):
                        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
                self._is_asked = False
            except BaseException:
                self._names = {_LOST: None}
                self._waiting.set()
                raise

    def _own_word(self) -> Iterator[str]:
        """One that says nothing, where it is asked for."""
        if self._is_asked:
            yield json.dumps([self._broker])

    def _heard(self, payload: str) -> None:
        for topic, name in _said(payload, but=self._broker):
            if (topic, name) == _LOST:
                self._resync()
            else:
                self._hear(cast("Topic", topic), name)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection as the store's; what it tells need not be on the disk."""
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    arguments, options = postgres.engine(url).dialect.create_connect_args(parsed)
    async with contextlib.AsyncExitStack() as closing:
        async with asyncio.timeout(STORE_DEADLINE_S):
            connection = await psycopg.AsyncConnection.connect(
                *arguments, **{**options, **postgres.KEEPALIVE}, autocommit=True
            )
            await closing.enter_async_context(connection)
            await connection.execute("SET synchronous_commit = off")
        yield connection


def _payloads(broker: str, names: tuple[_Said, ...]) -> Iterator[str]:
    """As few as hold all names."""
    while names:
        count = len(names)
        while len(payload := json.dumps([broker, *names[:count]])) > PAYLOAD_BYTES_MAX:
            if count == 1:
                payload = json.dumps([broker, _LOST])
                break
            count //= 2
        names = names[count:]
        yield payload


def _said(payload: str, *, but: str) -> Iterator[_Said]:
    """What of a payload is topics and names of another broker; of the rest nothing is said."""
    try:
        broker, *names = json.loads(payload)
    except (ValueError, TypeError):
        return
    if broker == but:
        return
    for said in names:
        match said:
            case ["", ""]:
                yield _LOST
            case [str(topic), str(name)] if topic in TOPICS and len(name) <= NAME_CHARACTERS_MAX:
                yield topic, name

"""A worker keeps a stream to every broker over one database, and its slots are one lot for all.

The address that the process was given is tried for as long as it lives; brokers tell of the others.
An address gets one stream, whichever brokers are said to be there: of one that was killed and one
that began anew in its place both are, for a while.
An answer goes to the broker that handed the call over, and waits for it while that one lives; once
it is gone, any other keeps the answer as evidence. Every broker hears how many slots the calls of
the others have, so that none counts on what is taken. Tokens go to told addresses under the terms
of the given one: off this machine, no CA file means no connection.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from broker.sdk.attempts import Attempts
from broker.sdk.configuration import Settings, is_this_machine
from broker.sdk.errors import CallerError
from broker.sdk.worker_stream import WorkerStream, refusal
from broker.v1 import worker_pb2

LOG: Final = logging.getLogger("callbroker.worker")

BROKERS_MAX: Final = 100
"""Streams that a worker keeps, whatever it is told."""


class WorkerStreams:
    """The streams of one worker; each tells of itself as `Heard` says.

    Attributes:
        welcomed: set once a broker has taken the worker.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hello: worker_pb2.WorkerHello,
        attempts: Attempts,
        take: Callable[[worker_pb2.Handover, str], worker_pb2.WorkerAnswer | None],
    ) -> None:
        self.welcomed = asyncio.Event()
        self._settings = settings
        self._hello = hello
        self._attempts = attempts
        self._take = take
        self._given = WorkerStream(settings, hello=hello, heard=self)
        self._told: dict[str, tuple[WorkerStream, asyncio.Task[None]]] = {}
        self._live: dict[str, str] = {}
        self._loads: dict[WorkerStream, int] = {}
        self._changed = asyncio.Event()
        self._is_draining = False
        self._is_finishing = False

    @property
    def is_shared(self) -> bool:
        """Whether calls may come from more than one broker."""
        return bool(self._told) or len(self._live) > 1

    async def serve(self) -> None:
        """Connects, again and again.

        Raises:
            WorkerRefused: no broker takes this worker, for a reason that stays.
        """
        try:
            await self._given.serve()
            if self._told:  # it has said goodbye, and so do they
                await asyncio.wait([task for _, task in self._told.values()])
        finally:
            for address in tuple(self._told):
                self._leave(address)

    def drain(self) -> None:
        """Tells every broker, those that are connected to later too, to hand nothing new over."""
        self._is_draining = True
        for stream in self._connected():
            stream.send(worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()))

    def answer(self, answer: worker_pb2.WorkerAnswer) -> None:
        """Sends an answer to whoever waits for it, now or when that stream is back."""
        if (stream := self._stream_for(answer)) is not None:
            stream.send(worker_pb2.ConnectRequest(answer=answer))

    def loaded(self) -> None:
        """Calls have begun or ended: each broker hears what those of the others take.

        The last one left too: what the others' calls had is free for it once they have ended.
        """
        running = self._attempts.by_broker
        for stream in self._connected():
            elsewhere = running.total() - running[stream.broker]
            if stream.counts_load and self._loads.get(stream, 0) != elsewhere:
                self._loads[stream] = elsewhere
                load = worker_pb2.WorkerLoad(elsewhere=elsewhere)
                stream.send(worker_pb2.ConnectRequest(load=load))

    def hand_in(self) -> None:
        """Before the end: what nobody who is reached waits for is somebody's evidence."""
        reached = [stream.broker for stream in self._connected()]
        anyone = next(self._connected(), None)
        for answer in self._attempts.unacknowledged:
            if anyone and self._attempts.broker(answer.fencing_token) not in reached:
                anyone.send(worker_pb2.ConnectRequest(answer=answer))

    def finish(self) -> bool:
        """Says goodbye once all is sent; False where there is nobody to say it to."""
        self._is_finishing = True
        told = [stream.finish() for stream in self._streams()]
        return any(told)

    async def settled(self) -> None:
        """Returns once no answer waits for its acknowledgement."""
        while self._attempts.unacknowledged:
            self._changed.clear()
            await self._changed.wait()

    def joined(
        self, stream: WorkerStream, brokers: worker_pb2.LiveBrokers | None
    ) -> Sequence[worker_pb2.WorkerAnswer]:
        """A broker has taken the worker. See `Heard`."""
        self._loads.pop(stream, None)
        self.brokers(brokers or worker_pb2.LiveBrokers())
        self.welcomed.set()
        self.loaded()
        if self._is_draining:
            stream.send(worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()))
        return [a for a in self._attempts.unacknowledged if self._stream_for(a) is stream]

    def brokers(self, live: worker_pb2.LiveBrokers) -> None:
        """Brokers have come or gone. See `Heard`."""
        before = self._live
        self._live = {b.broker: b.address for b in live.brokers[:BROKERS_MAX] if b.broker}
        self._follow()
        for answer in self._attempts.unacknowledged:
            broker = self._attempts.broker(answer.fencing_token)
            if broker in before and broker not in self._live:
                self.answer(answer)

    def take(
        self, handover: worker_pb2.Handover, stream: WorkerStream
    ) -> worker_pb2.WorkerAnswer | None:
        """A call to carry out. See `Heard`."""
        return self._take(handover, stream.broker)

    def acknowledged(self, fencing_token: str) -> None:
        """An answer need not be kept any longer. See `Heard`."""
        self._attempts.acknowledge(fencing_token)
        self._changed.set()

    def refused(self, stream: WorkerStream, error: CallerError) -> None:
        """Ends the worker where no broker has it. See `Heard`.

        Raises:
            WorkerRefused: it is so.
        """
        if stream is self._given and next(self._connected(), None) is None:
            raise refusal(error, self._hello) from None

    def _streams(self) -> Iterator[WorkerStream]:
        yield self._given
        for stream, _ in tuple(self._told.values()):
            yield stream

    def _connected(self) -> Iterator[WorkerStream]:
        return (stream for stream in self._streams() if stream.is_connected)

    def _stream_for(self, answer: worker_pb2.WorkerAnswer) -> WorkerStream | None:
        """To the broker that waits for it; to any where that one is gone; else None, for now."""
        broker = self._attempts.broker(answer.fencing_token)
        connected = tuple(self._connected())
        for stream in connected:
            if stream.broker == broker:
                return stream
        return connected[0] if connected and broker not in self._live else None

    def _follow(self) -> None:
        """One stream to each broker that lives; those that are connected are left as they are."""
        there: dict[str, set[str]] = defaultdict(set)
        for broker, address in self._live.items():
            there[address].add(broker)
        reached = {self._given.broker} if self._given.is_connected else set()
        for address, (stream, _) in tuple(self._told.items()):
            if stream.is_connected and stream.broker in reached:
                self._leave(address)
            elif stream.is_connected:
                reached.add(stream.broker)
        wanted = {address for address, brokers in there.items() if reached.isdisjoint(brokers)}
        wanted.discard(self._given.address)
        for address, (stream, _) in tuple(self._told.items()):
            if not stream.is_connected and address not in wanted:
                self._leave(address)
        for address in () if self._is_finishing else sorted(wanted - self._told.keys()):
            self._join(address)

    def _join(self, address: str) -> None:
        if self._settings.ca is None and not is_this_machine(address):
            LOG.warning("A broker is at %s: no token goes there without a CA file", address)
            return
        settings = replace(self._settings, address=address)
        stream = WorkerStream(settings, hello=self._hello, heard=self)
        self._told[address] = (stream, asyncio.create_task(stream.serve()))

    def _leave(self, address: str) -> None:
        stream, task = self._told.pop(address)
        self._loads.pop(stream, None)
        task.cancel()

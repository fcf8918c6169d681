"""Traces, put together and hung onto the parts of a broker; nothing of it is there without them."""

import functools
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import grpc

from broker import __version__
from broker.config import ConfigurationRefused
from broker.mediation import Mediation, Parts
from broker.named_in_settings import bearer_in
from broker.store import SqlStore
from broker.telemetry.exporting import Exporter
from broker.telemetry.invoking import TracedInvoke
from broker.telemetry.otlp import Resource
from broker.telemetry.tally import Tally
from broker.telemetry.tracing import Tracing
from broker.telemetry_settings import Traces

SERVICE: Final = "callbroker"


class OpenTraces:
    """The traces of one broker. For one event loop."""

    def __init__(self, settings: Traces, parts: Parts, store: SqlStore) -> None:
        """Prepare; nothing is told yet.

        Raises:
            ConfigurationRefused: a file that the settings name cannot be used.
        """
        self._exporter = _exporter_of(settings, instance=parts.owner)
        self._tracing = Tracing(
            self._exporter.offer,
            ratio=settings.ratio,
            control=parts.room.current,
            clock=parts.clock,
        )
        store.watch = self._tracing.watching(store.watch)
        store.watch_look_up = functools.partial(self._tracing.stage, "look_up")

    @property
    def tally(self) -> Tally:
        """What became of spans."""
        return self._exporter.tally

    @property
    def within(self) -> Sequence[grpc.aio.ServerInterceptor]:
        """What stands behind the door."""
        return (TracedInvoke(self._tracing),)

    def parts(self, parts: Parts) -> Parts:
        """The same, told of."""
        return replace(
            parts,
            policies=self._tracing.policies(parts.policies),
            facts=self._tracing.facts(parts.facts),
            runner=self._tracing.runner(parts.runner),
            again=self._tracing.again,
        )

    def queues(self, mediating: Mediation) -> None:
        """Tell of whoever waits for a turn."""
        mediating.enforcer.places.watch_wait = functools.partial(self._tracing.stage, "wait")

    async def run(self) -> None:
        """Tell, until cancelled."""
        await self._exporter.run()

    async def close(self) -> None:
        """Tell what is left, as far as there is time for it."""
        await self._exporter.close()


def _exporter_of(settings: Traces, *, instance: str) -> Exporter:
    file = settings.token_file
    token = bearer_in(file, named="traces.token_file") if file is not None else ""
    try:
        return Exporter(
            settings.url,
            Resource(service=SERVICE, version=__version__, instance=instance),
            token=token,
            ca_file=settings.ca_file,
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationRefused((f"traces: {error}",)) from None

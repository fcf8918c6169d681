"""Figures have a listener of their own with one route, which changes nothing and costs no call.

Whoever asks oftener than every few seconds is told the same again; a database that does not answer
leaves the figures that need none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.config import ConfigurationRefused
from broker.control_room import ControlRoom
from broker.core.errors import BrokerError
from broker.ports import Policies
from broker.store import SqlStore
from broker.telemetry.counting import CountedSpans, Counting
from broker.telemetry.gauges import Gauges, Watched
from broker.telemetry.tally import Tally
from broker.telemetry_settings import Metrics
from broker.web.listener import Listener

LOOK_EVERY_S: Final = 2.0
LOOK_DEADLINE_S: Final = 5.0

_log: Final = structlog.get_logger(__name__)


class Telemetry:
    """The figures of one broker. For one event loop."""

    def __init__(self, settings: Metrics, *, room: ControlRoom, store: SqlStore) -> None:
        """Begin to count; nobody is told yet."""
        self.port = 0
        self._settings = settings
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counting = Counting(self._registry, control=room.current)
        self._failed = Counter(
            "callbroker_looks_failed",
            "Times that the database did not answer for these figures.",
            registry=self._registry,
        )
        self._listener: Listener | None = None
        store.watch = self._counting.watch

    def policies(self, policies: Policies) -> Policies:
        """The same, watched."""
        return self._counting.policies(policies)

    def count_spans(self, tally: Tally) -> None:
        """Tell what became of spans, too."""
        self._registry.register(CountedSpans(tally))

    async def serve(self, watched: Watched) -> None:
        """Tell whoever asks.

        Raises:
            ConfigurationRefused: it cannot listen there.
        """
        settings = self._settings
        gauges = Gauges(self._registry, watched)
        app = application(self._registry, gauges.look, failed=self._failed.inc)
        self._listener = Listener(
            app,
            certificate_file=_text(settings.tls_certificate_file),
            key_file=_text(settings.tls_key_file),
        )
        try:
            self.port = await self._listener.start(settings.listen)
        except OSError as error:
            raise ConfigurationRefused((f"metrics.listen = {settings.listen}: {error}",)) from None

    async def stop(self) -> None:
        """Tell nobody any more."""
        if self._listener is not None:
            await self._listener.stop()


def application(
    registry: CollectorRegistry,
    look: Callable[[], Awaitable[None]],
    *,
    failed: Callable[[], None],
) -> Starlette:
    """`GET /metrics`, and nothing else."""
    turn = asyncio.Lock()
    looked_at = -LOOK_EVERY_S

    async def metrics(_: Request) -> Response:
        nonlocal looked_at
        async with turn:
            if time.monotonic() - looked_at >= LOOK_EVERY_S:
                try:
                    async with asyncio.timeout(LOOK_DEADLINE_S):
                        await look()
                except (BrokerError, TimeoutError, OSError) as error:
                    _log.warning("metrics_incomplete", why=type(error).__name__)
                    failed()
                looked_at = time.monotonic()
            told = generate_latest(registry)
        return Response(told, media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])


def _text(path: object) -> str | None:
    return None if path is None else str(path)

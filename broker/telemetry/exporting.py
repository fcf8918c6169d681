"""Spans wait in a bounded queue and are sent beside the calls; what finds no room is counted, gone.

Nothing here is ever waited for by a call. A receiver that is away, slow or answers nonsense costs
spans and nothing else: each attempt has a deadline, each batch so many attempts, its answer a
largest size. Nothing redirects a request, and no proxy is taken from the environment.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx2
import structlog
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from broker.issuers.bounded import Bounded, https
from broker.telemetry.otlp import Resource, encoded
from broker.telemetry.spans import Span
from broker.telemetry.tally import NOT_DELIVERED, QUEUE_FULL, REJECTED, STOPPED, Tally

QUEUE_MAX: Final = 4_096
"""Spans that wait; some four megabytes at most."""
BATCH_MAX: Final = 256
EVERY_S: Final = 1.0
DEADLINE_S: Final = 5.0
ATTEMPTS_MAX: Final = 4
PAUSE_S_MAX: Final = 30.0
CLOSE_WITHIN_S: Final = 3.0

# The only ones after which the same may be sent again (OTLP 1.x, "Failures").
_AGAIN: Final = frozenset({429, 502, 503, 504})

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much waits, and for how long.

    Attributes:
        queue_max: spans.
        batch_max: spans in one request.
        every_s: the longest that a span waits for others, seconds.
        deadline_s: of one request, seconds.
        attempts_max: requests with the same spans.
        pause_s: before the second of them, seconds; twice as long before each one after.
    """

    queue_max: int = QUEUE_MAX
    batch_max: int = BATCH_MAX
    every_s: float = EVERY_S
    deadline_s: float = DEADLINE_S
    attempts_max: int = ATTEMPTS_MAX
    pause_s: float = 1.0


class Exporter:
    """Sends spans as OTLP over HTTP, in protobuf. For one event loop."""

    def __init__(
        self,
        url: str,
        resource: Resource,
        *,
        token: str = "",
        ca_file: Path | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Prepare; nothing is opened before the first spans.

        Args:
            url: where to POST to; https, or http on loopback.
            resource: who tells.
            token: sent as `Authorization: Bearer`, where there is one.
            ca_file: PEM of who signs the receiver's certificate; those of the system unless said.
            pace: how much waits, and for how long.

        Raises:
            OSError, ssl.SSLError: `ca_file` cannot be used.
        """
        self.tally = Tally()
        self._resource = resource
        self._pace = pace or Pace()
        self._url = url
        self._waiting: deque[Span] = deque()
        self._sending: Sequence[Span] = ()
        self._filled = asyncio.Event()
        self._some = asyncio.Event()
        self._is_away = False
        self._is_closed = False
        self._client = httpx2.AsyncClient(
            headers={
                "content-type": "application/x-protobuf",
                "accept": "application/x-protobuf",
                "accept-encoding": "identity",
                **({"authorization": f"Bearer {token}"} if token else {}),
            },
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            timeout=self._pace.deadline_s,
            transport=Bounded(https(ca_file)),
        )

    @property
    def waiting(self) -> int:
        """How many spans wait, those on their way among them."""
        return len(self._waiting) + len(self._sending)

    def offer(self, spans: Sequence[Span]) -> None:
        """Take spans in, all or none. Never waits, never fails."""
        if self._is_closed or self.waiting + len(spans) > self._pace.queue_max:
            self.tally.dropped[STOPPED if self._is_closed else QUEUE_FULL] += len(spans)
            return
        self._waiting.extend(spans)
        self._some.set()
        if len(self._waiting) >= self._pace.batch_max:
            self._filled.set()

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.every_s):
                    await self._filled.wait()
            await self._send()

    async def close(self, *, within_s: float = CLOSE_WITHIN_S) -> None:
        """Send what is left, once, as far as there is time for it. `run` has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._waiting or self._sending:
                    await self._send(attempts_max=1)
        self._is_closed = True
        self.tally.dropped[STOPPED] += self.waiting
        self._waiting.clear()
        self._sending = ()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._client.aclose()

    async def _send(self, *, attempts_max: int | None = None) -> None:
        if not self._sending:  # else it was cancelled in the middle of them
            count = min(len(self._waiting), self._pace.batch_max)
            self._sending = [self._waiting.popleft() for _ in range(count)]
        if not self._waiting:
            self._some.clear()
        if len(self._waiting) < self._pace.batch_max:
            self._filled.clear()
        try:
            is_settled = await self._sent(attempts_max or self._pace.attempts_max)
        except Exception:  # noqa: BLE001 - whatever it was, the next spans are not to blame
            _log.exception("traces_not_sent")
            is_settled = False
        if not is_settled:
            self.tally.dropped[NOT_DELIVERED] += len(self._sending)
        self._sending = ()

    async def _sent(self, attempts_max: int) -> bool:
        """Whether they said what became of it, one way or the other."""
        body = await encoded(self._resource, self._sending)
        pause_s = self._pace.pause_s
        for attempt in range(1, attempts_max + 1):
            again_after_s = await self._attempt(body, len(self._sending))
            if again_after_s is None:
                return True
            if attempt < attempts_max:
                await asyncio.sleep(min(max(pause_s, again_after_s), PAUSE_S_MAX))
                pause_s *= 2
        return False

    async def _attempt(self, body: bytes, count: int) -> float | None:
        """POST once. None where that is settled; else how long they ask to be left alone, s."""
        try:
            async with asyncio.timeout(self._pace.deadline_s):
                answer = await self._client.post(self._url, content=body)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            self._missed(type(error).__name__)
            return 0.0
        if answer.status_code in _AGAIN:
            self._missed(str(answer.status_code))
            return _seconds(answer.headers.get("retry-after", ""))
        if not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            self._missed(str(answer.status_code))
            self.tally.dropped[REJECTED] += count
            return None
        self._taken(answer.content, count)
        return None

    def _taken(self, content: bytes, count: int) -> None:
        rejected = min(max(_rejected(content), 0), count)
        self.tally.exported += count - rejected
        self.tally.dropped[REJECTED] += rejected
        if self._is_away:
            self._is_away = False
            _log.info("traces_taken_again", dropped=self.tally.dropped)

    def _missed(self, why: str) -> None:
        if not self._is_away:  # said once until it is well again
            self._is_away = True
            _log.warning("traces_not_taken", why=why)


def _rejected(content: bytes) -> int:
    """How many spans the answer says were refused; one that means nothing says none."""
    try:
        answer = ExportTraceServiceResponse.FromString(content)
    except DecodeError:
        return 0
    return int(answer.partial_success.rejected_spans)


def _seconds(text: str) -> float:
    """Of `Retry-After`; its other form, a date, asks for nothing here."""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0.0  # noqa: PLR2004

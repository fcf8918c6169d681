"""Whoever is told by webhook: an HTTP server on loopback that keeps each request and checks it."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.replay.running import until

SECRET = "whsec_" + "bGFtcHMgZm9yIHRoZSBoYWxsd2F5IGFyZSBvbiBvZmZlcg=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request as it came in; header names are in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str = SECRET) -> Any:
        """The body's JSON; raises WebhookVerificationError where it is not signed with `secret`."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(slots=True, kw_only=True)
class WebhookReceiver:
    """A receiver that answers each request with `status`, `location` where that redirects."""

    url: str = ""
    status: int = 204
    location: str = ""
    deliveries: list[Delivery] = field(default_factory=list)

    def wait_for(self, count: int = 1) -> list[Delivery]:
        """The deliveries once there are so many; fails where they do not come."""
        until(lambda: len(self.deliveries) >= count, f"{count} came; {len(self.deliveries)}")
        return self.deliveries


@contextlib.contextmanager
def receiving_webhooks() -> Iterator[WebhookReceiver]:
    """Receive on any free port until the block ends."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.deliveries.append(Delivery(path=self.path, headers=headers, body=body))
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("location", receiver.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """A test has nothing to say to the console."""

    with serving(Handler) as port:
        receiver.url = f"http://127.0.0.1:{port}/hooks"
        yield receiver


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve on any free port of loopback until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

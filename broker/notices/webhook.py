"""A webhook is one signed POST of a small JSON document, as Standard Webhooks says.

Its id stays the same when it is sent again, its time is of each attempt, and the signature is over
both and the body: so a receiver can refuse what is forged, changed, old or already seen. Nothing
redirects it, no proxy is taken from the environment, and of the answer only the status is read.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx2
from standardwebhooks import Webhook

from broker.core.notices import AgentMessage, Message, Waiting
from broker.notices.destinations import (
    DestinationRefused,
    Resolve,
    addresses_of,
    resolve_by_system,
)
from broker.ports import Clock
from broker.ports.notifying import NotDelivered

DEADLINE_S: Final = 10.0
CONNECT_S: Final = 4.0
CONNECTIONS: Final = 8
_ABOUT_THIS_MESSAGE: Final = frozenset({400, 413, 422})


class WebhookMessenger:
    """Implements `ports.notifying.Messenger`."""

    def __init__(
        self,
        url: str,
        *,
        secrets: tuple[str, ...],
        clock: Clock,
        allow_private: bool = False,
        ca_file: Path | None = None,
        resolve: Resolve = resolve_by_system,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Prepare; nothing is opened before the first message.

        Args:
            url: https, or http on loopback.
            secrets: `whsec_` and base64; several while one takes another's place.
            clock: for the signed time.
            allow_private: whether it may be within a private network.
            ca_file: PEM of who signs the receiver's certificate; those of the system unless said.
            resolve: looks names up.
            deadline_s: for a message as a whole.

        Raises:
            ValueError: a secret is none.
            OSError: `ca_file` cannot be read.
        """
        self._url = httpx2.URL(url)
        self._signers = tuple(Webhook(secret) for secret in secrets)
        self._clock = clock
        self._allow_private = allow_private
        self._resolve = resolve
        self._deadline_s = deadline_s
        verify = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._client = httpx2.AsyncClient(
            verify=verify,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(deadline_s, connect=min(CONNECT_S, deadline_s)),
            limits=httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0),
        )

    async def send(self, message: Message) -> None:
        """POST it.

        Raises:
            NotDelivered: nobody has answered that it was taken in.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                status = await self._post(message)
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._deadline_s:g} s") from None
        except DestinationRefused as refused:
            raise NotDelivered(str(refused)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            raise NotDelivered(_said(error)) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise NotDelivered(
                f"answered {status}",
                is_channel=status not in _ABOUT_THIS_MESSAGE,
                is_final=status == HTTPStatus.GONE,
            )

    async def close(self) -> None:
        """Give up connections."""
        await self._client.aclose()

    async def _post(self, message: Message) -> int:
        url = self._url
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await addresses_of(
            url.host, port, allow_private=self._allow_private, resolve=self._resolve
        )
        body = json.dumps(document(message), separators=(",", ":"), ensure_ascii=True).encode()
        headers = {"host": url.netloc.decode("ascii"), **self._signed(message.id, body)}
        for number, address in enumerate(addresses, start=1):
            try:
                return await self._post_to(address, body, headers)
            except httpx2.ConnectError:
                if number == len(addresses):
                    raise
        raise DestinationRefused("the name has no address")

    async def _post_to(self, address: str, body: bytes, headers: Mapping[str, str]) -> int:
        """To this address and no other, with the certificate of the name that was meant."""
        # Whatever the URL names: TLS is verified against it, never against the address.
        named = {"sni_hostname": self._url.host} if self._url.scheme == "https" else {}
        async with self._client.stream(
            "POST",
            self._url.copy_with(host=address),
            content=body,
            headers=dict(headers),
            extensions=named,
        ) as response:
            return response.status_code

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        at = datetime.fromtimestamp(int(self._clock()), tz=UTC)
        text = body.decode()
        signatures = (signer.sign(message_id, at, text) for signer in self._signers)
        return {
            "content-type": "application/json",
            "user-agent": "callbroker",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def document(message: Message) -> Mapping[str, Any]:
    """What is in the body."""
    if isinstance(message, AgentMessage):
        data: dict[str, Any] = {
            "invocation": message.invocation,
            "state": message.state,
            "code": message.code,
        }
    elif message.count == 1 and len(message.waiting) == 1:
        data = _one(message.waiting[0])
    else:
        data = {
            "count": message.count,
            "link": message.link,
            "holds": [_one(one) for one in message.waiting],
        }
    at = datetime.fromtimestamp(message.at, tz=UTC).isoformat(timespec="milliseconds")
    return {"type": message.event, "timestamp": at.replace("+00:00", "Z"), "data": data}


def _one(waiting: Waiting) -> dict[str, Any]:
    return {
        "hold": waiting.hold,
        "tool": waiting.tool,
        "codes": list(waiting.codes),
        "age_s": waiting.age_s,
        "link": waiting.link,
    }


def _said(error: Exception) -> str:
    """In our words: an error's text may quote what the other side wrote."""
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.ConnectError):
        cause = error.__cause__ or error
        is_tls = "certificate" in str(error).lower() or "ssl" in repr(cause).lower()
        return "its certificate is not accepted" if is_tls else "it cannot be reached"
    return f"the connection failed ({type(error).__name__})"

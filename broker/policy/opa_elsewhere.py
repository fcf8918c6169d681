"""Speaks to an OPA that somebody else runs, by the public Python client, over TLS.

It is asked once: no retries, no redirects, no timeout of the client's own.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from opa_client.opa_async import AsyncOpaClient

from broker.core.arguments import JsonValue
from broker.core.errors import PolicyUnavailable
from broker.policy.opa_socket import OpaFailed

CONNECTIONS_MAX: Final = 100
_JSON: Final = MappingProxyType({"Content-Type": "application/json"})


async def connect(url: str, *, token: str, ca_file: Path | None) -> "_Client":
    """A client; nothing is sent yet. Arguments and errors are those of `Opa.over_url`."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise ValueError("OPA's URL is https://host[:port], without a path")
    if not secure and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("an OPA on another machine is reached by https alone")
    context = ssl.create_default_context(cafile=ca_file) if secure else None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    client = _Client(
        lambda: aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=context or False),
        token=token,
        host=host,
        port=parts.port or (443 if secure else 8181),
        ssl=secure,
    )
    await client.__aenter__()
    return client


class _Client(AsyncOpaClient):  # type: ignore[misc]
    """The public client, for an OPA elsewhere; no retries, redirects or timeout of its own."""

    def __init__(
        self,
        connector: Callable[[], aiohttp.BaseConnector],
        *,
        token: str,
        host: str = "opa",
        port: int = 80,
        ssl: bool = False,
    ) -> None:
        super().__init__(host=host, port=port, ssl=ssl, token=token, retries=0)
        self._make_connector = connector

    async def _init_session(self) -> None:
        self._connector = self._make_connector()
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def post(self, path: str, body: bytes) -> JsonValue:
        """Ask, once.

        Raises:
            OpaFailed: with POLICY_ERROR or POLICY_MALFORMED.
            PolicyUnavailable: nobody is there, or the connection broke.
        """
        url = self.root_url.removesuffix("/v1") + path
        try:
            async with self._request("POST", url, data=body, headers=_JSON) as response:
                response.raise_for_status()
                answer: JsonValue = await response.json()
        except aiohttp.ContentTypeError as error:
            raise OpaFailed("POLICY_MALFORMED") from error
        except aiohttp.ClientResponseError as error:
            raise OpaFailed("POLICY_ERROR") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise PolicyUnavailable("Policy cannot be asked now.") from error
        except (aiohttp.ClientError, ValueError, RecursionError) as error:
            raise OpaFailed("POLICY_MALFORMED") from error
        return answer

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise aiohttp.ClientConnectionError("closed")
        async with super()._request(method, url, allow_redirects=False, **options) as response:
            yield response

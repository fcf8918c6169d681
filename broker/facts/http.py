"""A look-up over HTTP is one GET of a constant origin; nothing redirects it or makes it larger.

404 means that there is no such thing. Any other status than 200 is no answer. The body is strict
JSON of bounded size. No proxy is taken from the environment and no cookie is kept.
"""

from collections.abc import Mapping
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from broker.core.arguments import JsonValue, MalformedJson, parse_value
from broker.core.limits import FACT_DEADLINE_S_MAX, RESULT_BYTES_MAX
from broker.core.manifest import FactSpec
from broker.core.urls import UrlTemplate
from broker.facts.source import Code, LookUpFailed, SourceSettings


class HttpSource:
    """An HTTP service, read with GET."""

    def __init__(
        self,
        settings: SourceSettings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is opened before the first look-up.

        Args:
            settings: its `url` is an origin and no more.
            transport: in place of the network.

        Raises:
            ValueError: the URL is more than an origin, or plain http beyond loopback.
        """
        template = UrlTemplate.parse(settings.url)
        if template.path != "/" or template.query:
            raise ValueError("An HTTP source is an origin alone: https://host:port.")
        self._origin = template.origin
        self._templates: dict[str, UrlTemplate] = {}
        self._client = httpx2.AsyncClient(
            headers={
                **settings.headers,
                "accept": "application/json",
                "accept-encoding": "identity",
            },
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            timeout=FACT_DEADLINE_S_MAX,
            limits=httpx2.Limits(max_connections=settings.connections),
            transport=transport,
        )

    def refuses(self, spec: FactSpec) -> str:
        """Why no look-up like this can ever work here; empty where it can."""
        if not spec.url:
            return "it is an HTTP service: give url"
        if self._template(spec.url).origin != self._origin:
            return (
                f"its origin is {self._origin}: no other is sent what this source is trusted with"
            )
        return ""

    async def look_up(
        self,
        spec: FactSpec,
        parameters: Mapping[str, JsonValue],
        *,
        rows_max: int,  # noqa: ARG002 - a body is one
    ) -> list[JsonValue]:
        """The body, alone in a list; nothing for 404.

        Raises:
            LookUpFailed: there is no answer.
        """
        if why := self.refuses(spec):
            raise LookUpFailed("SOURCE_UNAVAILABLE", why)
        try:
            url = self._template(spec.url).expand(parameters)
        except ValueError as error:
            raise LookUpFailed("QUERY_FAILED", str(error)) from None
        try:
            body = await self._get(url)
        except httpx2.TimeoutException as error:
            raise LookUpFailed("DEADLINE_EXCEEDED", repr(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LookUpFailed("SOURCE_UNAVAILABLE", repr(error)) from None
        if body is None:
            return []
        try:
            return [parse_value(body, bytes_max=RESULT_BYTES_MAX)]
        except MalformedJson as error:
            raise LookUpFailed("SHAPE_INVALID", error.code) from None

    async def close(self) -> None:
        """Give up connections."""
        await self._client.aclose()

    async def _get(self, url: str) -> bytes | None:
        async with self._client.stream("GET", url) as response:
            if response.status_code == HTTPStatus.NOT_FOUND:
                return None
            if response.status_code != HTTPStatus.OK:
                is_away = response.is_server_error
                code: Code = "SOURCE_UNAVAILABLE" if is_away else "QUERY_FAILED"
                raise LookUpFailed(code, f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise LookUpFailed("SHAPE_INVALID", "an encoding that nobody asked for")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > RESULT_BYTES_MAX:
                    raise LookUpFailed("SHAPE_INVALID", f"more than {RESULT_BYTES_MAX} bytes")
            return bytes(body)

    def _template(self, url: str) -> UrlTemplate:
        template = self._templates.get(url)
        if template is None:
            template = self._templates[url] = UrlTemplate.parse(url)
        return template

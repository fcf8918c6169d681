"""A look-up over HTTP: one GET, strictly read."""

import asyncio

import httpx2
import pytest

from broker.core.manifest import FactSpec
from broker.core.pointers import Reference
from broker.facts.http import HttpSource
from broker.facts.source import LookUpFailed, SourceSettings

ORIGIN = "https://crm.test"


def spec(url: str = f"{ORIGIN}/orders/{{id}}") -> FactSpec:
    return FactSpec(
        name="order",
        source="crm",
        url=url,
        parameters={"id": Reference.parse("/order_id")},
        shape={"type": "object"},
    )


def source(handler) -> HttpSource:
    settings = SourceSettings(url=ORIGIN, headers={"authorization": "Bearer s3cret"})
    return HttpSource(settings, transport=httpx2.MockTransport(handler))


async def looked_up(answer, value="O-1", url: str | None = None):
    requests: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return answer

    crm = source(handler)
    try:
        found = await crm.look_up(spec(url) if url else spec(), {"id": value}, rows_max=1)
    finally:
        await crm.close()
    return found, requests


async def failure(answer, **more) -> str:
    with pytest.raises(LookUpFailed) as failed:
        await looked_up(answer, **more)
    return failed.value.code


async def test_a_body_is_what_was_found():
    found, (request,) = await looked_up(httpx2.Response(200, json={"total": 5}))
    assert found == [{"total": 5}]
    assert str(request.url) == f"{ORIGIN}/orders/O-1"
    assert request.method == "GET"
    assert request.headers["authorization"] == "Bearer s3cret"


async def test_not_found_is_absence():
    found, _ = await looked_up(httpx2.Response(404, text="nothing here"))
    assert found == []


async def test_no_redirect_is_followed():
    assert await failure(httpx2.Response(302, headers={"location": "https://evil.test/"})) == (
        "QUERY_FAILED"
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx2.Response(500), "SOURCE_UNAVAILABLE"),
        (httpx2.Response(403), "QUERY_FAILED"),
        (httpx2.Response(204), "QUERY_FAILED"),
        (httpx2.Response(200, text="<html>"), "SHAPE_INVALID"),
        (httpx2.Response(200, text='{"a":1,"a":2}'), "SHAPE_INVALID"),
        (httpx2.Response(200, text='{"a":NaN}'), "SHAPE_INVALID"),
        (httpx2.Response(200, content=b"[" * 100_000), "SHAPE_INVALID"),
        (httpx2.Response(200, content=b'"' + b"x" * 2_000_000 + b'"'), "SHAPE_INVALID"),
        (
            httpx2.Response(
                200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(b"x")
            ),
            "SHAPE_INVALID",
        ),
    ],
)
async def test_any_other_answer_is_none(answer, code):
    assert await failure(answer) == code


async def test_a_source_is_asked_at_its_own_origin_alone():
    code = await failure(httpx2.Response(200, json={}), url="https://evil.test/orders/{id}")
    assert code == "SOURCE_UNAVAILABLE"


async def test_a_connection_that_fails_is_no_answer():
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    crm = source(handler)
    with pytest.raises(LookUpFailed) as failed:
        await crm.look_up(spec(), {"id": "O-1"}, rows_max=1)
    assert failed.value.code == "SOURCE_UNAVAILABLE"
    await crm.close()


async def test_no_cookie_is_kept():
    def handler(request: httpx2.Request) -> httpx2.Response:
        assert "cookie" not in request.headers
        return httpx2.Response(200, json={}, headers={"set-cookie": "a=b"})

    crm = source(handler)
    for _ in range(2):
        await crm.look_up(spec(), {"id": "O-1"}, rows_max=1)
    await crm.close()


async def test_whoever_waits_sets_the_deadline():
    async def handler(_request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    crm = source(handler)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await crm.look_up(spec(), {"id": "O-1"}, rows_max=1)
    await crm.close()

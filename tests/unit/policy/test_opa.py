"""Each way in which OPA can fail to answer is DENY with its own code, or nothing was decided."""

import asyncio
import json

import pytest
from aiohttp import web

from broker.core.decision import Effect
from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy.opa import Opa
from tests.fakes.opa_server import broken_server, opa_server

REVISION = "sha256:1"
ALLOWED = {
    "result": {
        "revision": REVISION,
        "verdicts": [{"effect": "ALLOW", "code": "FINE", "message": "Fine.", "family": "sample"}],
        "obligations": [],
    }
}


def respond(*, status=200, body=b"", content_type="application/json", headers=None):
    async def handler(_request):
        return web.Response(status=status, body=body, content_type=content_type, headers=headers)

    return handler


async def asked(socket, *, question=EXAMPLE, deadline_s=5.0):
    opa = await Opa.over_socket(socket, token="secret", revision=REVISION)
    try:
        return await opa.evaluate(question, deadline_s=deadline_s)
    finally:
        await opa.close()


async def code_from(handler, *, deadline_s=5.0):
    async with opa_server(handler) as socket:
        opinion = await asked(socket, deadline_s=deadline_s)
    (verdict,) = opinion.verdicts
    assert opinion.policy_revision == REVISION
    assert verdict.effect is Effect.DENY
    return verdict.code


async def test_the_question_goes_to_one_path_with_builtin_errors_strict():
    seen = []

    async def handler(request):
        seen.append((request.method, request.path_qs, request.headers["Authorization"]))
        seen.append(await request.json())
        return web.json_response(ALLOWED)

    async with opa_server(handler) as socket:
        opinion = await asked(socket)
    assert [verdict.code for verdict in opinion.verdicts] == ["FINE"]
    path = "/v1/data/broker/decision/decision?strict-builtin-errors=true"
    assert seen == [("POST", path, "Bearer secret"), {"input": EXAMPLE}]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
async def test_an_error_denies(status):
    handler = respond(status=status, body=json.dumps(ALLOWED).encode())
    assert await code_from(handler) == "POLICY_ERROR"


async def test_an_error_is_not_asked_twice():
    times = []

    async def handler(_request):
        times.append(1)
        return web.Response(status=500)

    assert await code_from(handler) == "POLICY_ERROR"
    assert len(times) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", "POLICY_UNDEFINED"),
        (b'{"result": null}', "POLICY_MALFORMED"),
        (b"true", "POLICY_MALFORMED"),
        (b"", "POLICY_MALFORMED"),
        (b"{", "POLICY_MALFORMED"),
        (b"\xff\xfe", "POLICY_MALFORMED"),
        (b"[" * 100_000, "POLICY_MALFORMED"),
        (
            json.dumps(ALLOWED).replace(REVISION, "sha256:0").encode(),
            "POLICY_WRONG_REVISION",
        ),
    ],
)
async def test_an_odd_body_denies(body, code):
    assert await code_from(respond(body=body)) == code


async def test_a_body_of_another_kind_denies():
    handler = respond(body=json.dumps(ALLOWED).encode(), content_type="text/html")
    assert await code_from(handler) == "POLICY_MALFORMED"


async def test_a_redirect_is_not_followed():
    paths = []

    async def handler(request):
        paths.append(request.path)
        if request.path == "/elsewhere":
            return web.json_response(ALLOWED)
        return web.json_response({}, status=307, headers={"Location": "/elsewhere"})

    async with opa_server(handler) as socket:
        opinion = await asked(socket)
    assert opinion.verdicts[0].effect is Effect.DENY
    assert paths == ["/v1/data/broker/decision/decision"]


async def test_a_late_answer_denies_and_hangs_up():
    hung_up = asyncio.Event()

    async def handler(_request):
        try:
            await asyncio.Event().wait()
        finally:
            hung_up.set()
        return web.json_response(ALLOWED)

    async def code():
        return await code_from(handler, deadline_s=0.2)

    assert await code() == "POLICY_LATE"
    await asyncio.wait_for(hung_up.wait(), 5)


async def test_nobody_there_is_no_decision(tmp_path):
    with pytest.raises(PolicyUnavailable):
        await asked(tmp_path / "socket")


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{",
    ],
)
async def test_a_connection_that_breaks_is_no_decision(says):
    async with broken_server(says) as socket:
        with pytest.raises(PolicyUnavailable):
            await asked(socket)


async def test_an_answer_that_is_no_http_denies():
    async with broken_server(b"SSH-2.0-OpenSSH\r\n\r\n") as socket:
        opinion = await asked(socket)
    assert opinion.verdicts[0].code in {"POLICY_ERROR", "POLICY_MALFORMED"}


async def test_after_closing_nobody_is_there():
    async with opa_server(respond(body=json.dumps(ALLOWED).encode())) as socket:
        opa = await Opa.over_socket(socket, token="secret", revision=REVISION)
        await opa.close()
        with pytest.raises(PolicyUnavailable):
            await opa.evaluate(EXAMPLE, deadline_s=1)


@pytest.mark.parametrize(
    "url",
    [
        "http://opa.example:8181",
        "ftp://127.0.0.1",
        "https://",
        "opa.example",
        "https://opa.example/path",
    ],
)
async def test_a_url_that_would_expose_the_decision_is_refused(url):
    with pytest.raises(ValueError, match="https"):
        await Opa.over_url(url, token="secret", revision=REVISION)


async def test_a_certificate_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        await Opa.over_url(
            "https://opa.example", token="x", revision=REVISION, ca_file=tmp_path / "ca.pem"
        )

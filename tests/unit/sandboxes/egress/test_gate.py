"""A gate lets through what the call may ask for, notes all of it, and leaves nothing behind."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sandboxes.egress.credentials import Credential
from sandboxes.egress.journal import EgressRequest
from sandboxes.egress.outside import trusting
from sandboxes.egress.proxy import SOCKET_NAME, EgressGate
from tests.outside_world import (
    HOST,
    Names,
    egress,
    gate,
    opened,
    origin,
    outside,
    raw,
    rule,
    saying,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_what_is_on_the_list_passes_and_is_noted(tmp_path):
    async with origin() as host:
        way_out = egress(rule(host.port, path="/v1/items", methods=("POST",)))
        async with gate(tmp_path, way_out, outside()) as tool:
            answer = await tool.fetch(
                host.url("/v1/items"), "POST", {"Content-Type": "text/plain"}, b"four"
            )
            requests, is_cut = await tool.gate.close()
    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert (host.asked[0].line, host.asked[0].body) == ("POST /v1/items HTTP/1.1", b"four")
    assert host.asked[0].headers == {
        "host": f"{HOST}:{host.port}",
        "content-type": "text/plain",
        "accept-encoding": "identity",
        "content-length": "4",
        "connection": "close",
    }
    assert not is_cut
    assert requests == (
        EgressRequest(
            at=1_700_000_000.0,
            method="POST",
            host=HOST,
            port=host.port,
            path="/v1/items",
            address="127.0.0.1",
            allowed=True,
            response_code=200,
            sent_bytes=4,
            received_bytes=11,
        ),
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_that_a_rule_may_name_passes(tmp_path, method: str):
    async with opened(tmp_path, methods=(method,)) as (tool, host):
        if method == "HEAD":
            host.script = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
        answer = await tool.fetch(host.url("/"), method)
    assert host.asked[0].line == f"{method} / HTTP/1.1"
    assert answer.body == (b"" if method == "HEAD" else b'{"ok":true}')


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (saying(b"x" * 300_000), 200, b"x" * 300_000),
        (saying(b"", status="204 No Content"), 204, b""),
        (saying(b"no", status="404 Not Found"), 404, b"no"),
        (saying(b"?", status="299 Odd"), 299, b"?"),
        (raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 304, b""),
        (raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 200, b"until the end"),
        (raw(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), 200, b"abc"),
    ],
)
async def test_an_answer_arrives_as_it_was_sent(tmp_path, script, status: int, body: bytes):
    async with opened(tmp_path) as (tool, host):
        host.script = script
        answer = await tool.fetch(host.url("/"))
    assert (answer.status, answer.body) == (status, body)


async def test_plain_http_passes_where_a_rule_says_so(tmp_path):
    async with origin(tls=False) as host:
        way_out = egress(rule(host.port, scheme="http"))
        async with gate(tmp_path, way_out, outside()) as tool:
            assert (await tool.fetch(host.url("/", scheme="http"))).status == 200


async def test_a_credential_is_put_in_and_named_in_the_record(tmp_path):
    file = tmp_path / "token"
    file.write_text("correct-horse-battery")
    file.chmod(0o600)
    credential = Credential(name="shop", hosts=(HOST,), file=file, header="X-Key", prefix="")
    async with origin() as host:
        way_out = egress(
            rule(host.port, path="/", credential="shop", headers=("x-key", "x-version"))
        )
        async with gate(tmp_path, way_out, outside(credential)) as tool:
            sent = {"X-Key": "the tool's own", "X-Version": "2", "Authorization": "too"}
            assert (await tool.fetch(host.url("/"), headers=sent)).status == 200
            ((request,), _) = await tool.gate.close()
    assert host.asked[0].headers["x-key"] == "correct-horse-battery"
    assert host.asked[0].headers["x-version"] == "2"
    assert "authorization" not in host.asked[0].headers
    assert request.credential == "shop"


async def test_a_credential_that_cannot_be_read_sends_nothing(tmp_path):
    credential = Credential(name="shop", hosts=(HOST,), file=tmp_path / "absent")
    async with origin() as host:
        way_out = egress(rule(host.port, path="/", credential="shop"))
        async with gate(tmp_path, way_out, outside(credential)) as tool:
            assert await tool.refused(host.url("/")) == "EGRESS_CREDENTIAL_MISSING"
            ((request,), _) = await tool.gate.close()
    assert (request.allowed, request.credential, host.connections) == (False, "", 0)


async def test_rules_read_the_frozen_input(tmp_path):
    async with origin() as host:
        way_out = egress(rule(host.port, path="/orders/{/order_id}"))
        given = b'{"order_id":"O-1"}'
        async with gate(tmp_path, way_out, outside(), input_json=given) as tool:
            assert (await tool.fetch(host.url("/orders/O-1"))).status == 200
            assert await tool.refused(host.url("/orders/O-2")) == "EGRESS_NOT_LISTED"
            requests, _ = await tool.gate.close()
    assert [(each.path, each.allowed, each.code) for each in requests] == [
        ("/orders/O-1", True, ""),
        ("/orders/O-2", False, "EGRESS_NOT_LISTED"),
    ]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (Names({HOST: [[]]}), "EGRESS_NAME_UNKNOWN"),
        (Names({HOST: [["127.0.0.1"]]}), "EGRESS_UNREACHABLE"),
    ],
)
async def test_a_host_that_is_not_there_is_told(tmp_path, names, code: str):
    async with origin() as host:
        port = host.port
    async with gate(tmp_path, egress(rule(port)), outside(names=names)) as tool:
        assert await tool.refused(f"https://{HOST}:{port}/") == code


async def test_a_certificate_of_nobody_is_refused(tmp_path):
    async with origin() as host:
        way_out, beyond = egress(rule(host.port)), outside()
        async with gate(tmp_path, way_out, replace(beyond, tls=trusting())) as tool:
            assert await tool.refused(host.url("/")) == "EGRESS_UNREACHABLE"
    assert host.asked == []


async def test_a_certificate_of_another_name_is_refused(tmp_path):
    async with origin() as host:
        way_out = egress(rule(host.port, host="www.example.org"))
        async with gate(tmp_path, way_out, outside()) as tool:
            url = f"https://www.example.org:{host.port}/"
            assert await tool.refused(url) == "EGRESS_UNREACHABLE"
    assert host.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n"
        + (b"X: " + b"y" * 8000 + b"\r\n") * 6
        + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_refused(tmp_path, answer: bytes):
    async with opened(tmp_path) as (tool, host):
        host.script = raw(answer)
        assert await tool.refused(host.url("/")) == "EGRESS_ANSWER_BROKEN"
        ((request,), _) = await tool.gate.close()
    assert (request.allowed, request.code) == (True, "EGRESS_ANSWER_BROKEN")
    assert host.connections == 1


async def test_an_answer_that_ends_early_is_told_from_a_whole_one(tmp_path):
    async with opened(tmp_path) as (tool, host):
        for short in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            CHUNKED + b"5\r\nabcde\r\n",
        ):
            host.script = raw(short)
            assert await tool.refused(host.url("/")) == "EGRESS_CUT"
        requests, _ = await tool.gate.close()
    assert [each.code for each in requests] == ["EGRESS_ANSWER_BROKEN"] * 2


async def test_cookies_and_fields_of_one_hop_stay_outside(tmp_path):
    async with opened(tmp_path) as (tool, host):
        host.script = saying(
            b"x",
            "Set-Cookie: session=1",
            "Connection: x-hop",
            "X-Hop: 1",
            "Callbroker-Refused: EGRESS_FORGED",
            "Alt-Svc: h3",
            "X-Kept: 1",
        )
        answer = await tool.fetch(host.url("/"))
    assert dict(answer.headers) == {"x-kept": "1", "content-length": "1", "connection": "close"}


async def test_nothing_is_decompressed(tmp_path):
    async with opened(tmp_path) as (tool, host):
        host.script = saying(b"\x1f\x8b not opened", "Content-Encoding: gzip")
        answer = await tool.fetch(host.url("/"))
    assert (answer.body, answer.headers["content-encoding"]) == (b"\x1f\x8b not opened", "gzip")


async def test_requests_run_out_and_the_list_says_that_it_was_cut(tmp_path):
    async with opened(tmp_path, requests_max=2) as (tool, host):
        await tool.fetch(host.url("/"))
        assert await tool.refused("https://elsewhere.test/") == "EGRESS_NOT_LISTED"
        assert await tool.refused(host.url("/")) == "EGRESS_TOO_MANY"
        requests, is_cut = await tool.gate.close()
    assert [each.code for each in requests] == ["", "EGRESS_NOT_LISTED"]
    assert is_cut


async def test_more_than_may_be_sent_is_refused_before_any_of_it_is(tmp_path):
    async with opened(tmp_path, methods=("POST",), sent_bytes_max=10) as (tool, host):
        assert await tool.refused(host.url("/"), "POST", body=b"x" * 11) == "EGRESS_SENT_TOO_MUCH"
        big = b"x" * 3_000_000
        assert await tool.refused(host.url("/"), "POST", body=big) == "EGRESS_SENT_TOO_MUCH"
        assert (await tool.fetch(host.url("/"), "POST", body=b"x" * 10)).status == 200
        assert await tool.refused(host.url("/"), "POST", body=b"x") == "EGRESS_SENT_TOO_MUCH"
    assert host.connections == 1


async def test_a_deadline_ends_a_request(tmp_path):
    async with opened(tmp_path, request_deadline_s=0.2) as (tool, host):
        host.script = never
        assert await tool.refused(host.url("/")) == "EGRESS_TOO_LATE"
        ((request,), _) = await tool.gate.close()
    assert (request.allowed, request.code) == (True, "EGRESS_TOO_LATE")


async def never(*_) -> None:
    await asyncio.Event().wait()


async def test_a_gate_is_started_and_opened_once(tmp_path):
    tmp_path.chmod(0o700)
    made = EgressGate(tmp_path / "gate", outside())
    with pytest.raises(RuntimeError):
        made.open(egress(), b"{}", "")
    await made.start()
    with pytest.raises(RuntimeError):
        await made.start()
    for wrong in (b"[]", b"{", b"1"):
        with pytest.raises(ValueError, match=r".+"):
            made.open(egress(), wrong, "")
    with pytest.raises(ValueError, match="no credential"):
        made.open(egress(rule(1, credential="absent")), b"{}", "")
    made.open(egress(), b"{}", "")
    with pytest.raises(RuntimeError):
        made.open(egress(), b"{}", "")
    assert await made.close() == await made.close() == ((), False)
    with pytest.raises(RuntimeError):
        await made.start()


async def test_a_gate_that_was_never_started_closes(tmp_path):
    assert await EgressGate(tmp_path / "gate", outside()).close() == ((), False)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_is_left_of_a_gate(tmp_path):
    before = open_files()
    async with opened(tmp_path) as (tool, host):
        assert (tmp_path / "gate").stat().st_mode & 0o777 == 0o755
        assert tool.socket.stat().st_mode & 0o777 == 0o666
        await tool.fetch(host.url("/"))
    assert list(tmp_path.iterdir()) == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert open_files() <= before


async def test_a_directory_that_others_may_enter_is_no_place_for_a_gate(tmp_path):
    tmp_path.chmod(0o711)
    with pytest.raises(PermissionError):
        await EgressGate(tmp_path / "gate", outside()).start()
    tmp_path.chmod(0o700)
    (tmp_path / "gate").mkdir()
    with pytest.raises(FileExistsError):
        await EgressGate(tmp_path / "gate", outside()).start()


async def test_a_long_path_is_no_hindrance(tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir(mode=0o700)
    made = EgressGate(deep / "gate", outside())
    await made.start()
    assert (deep / "gate" / SOCKET_NAME).is_socket()
    await made.close()
    assert list(deep.iterdir()) == []


async def test_a_tool_that_has_no_socket_is_told(tmp_path):
    async with gate(tmp_path, egress(), outside()) as tool:
        pass
    assert await tool.refused(f"https://{HOST}/") == "EGRESS_NONE"

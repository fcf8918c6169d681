"""An agent's values reach systems of record as values, and as nothing else."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Fact
from broker.core.manifest import parse
from broker.facts.gatherer import Gatherer, open_sources
from broker.facts.source import LookUpFailed, SourceSettings
from broker.facts.sql import SqlSource
from tests.fakes import shop
from tests.fakes.desk import session

INJECTIONS = [
    "O-1001' OR '1'='1",
    "' UNION SELECT id, customer_id, captured_minor FROM orders --",
    "O-1001'; UPDATE orders SET captured_minor = 9999999; --",
    "O-1001\x00' OR 1=1",
    ":id",
    "%",
    "O-1001\\",
    "(SELECT id FROM orders LIMIT 1)",
    'O-1001" OR ""="',
]


async def gathered(gatherer: Gatherer, specs: dict[str, Any], **arguments: Any) -> dict[str, Fact]:
    who = session()
    manifest = parse(shop.document(**specs))
    return dict(
        await gatherer.gather(manifest, arguments=arguments, principal=who.principal, session=who)
    )


@asynccontextmanager
async def shop_at(path: Path, *, connections: int = 1) -> AsyncIterator[Gatherer]:
    shop.make_shop(path)
    settings = SourceSettings(url=f"sqlite:///{path}", connections=connections)
    gatherer = Gatherer(open_sources({"shop": settings}))
    try:
        yield gatherer
    finally:
        await gatherer.close()


def orders(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM orders ORDER BY id").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("injection", INJECTIONS)
async def test_sql_in_an_argument_finds_no_row_and_changes_none(injection, tmp_path):
    """I am the agent. I close the quote in the order's id, so that the look-up finds an order that
    is mine, or every order, or raises what was captured."""
    async with shop_at(tmp_path / "shop.db") as gatherer:
        found = await gathered(gatherer, {"order": shop.ORDER}, order_id=injection)
        assert found["order"] == Fact(name="order", source="shop", absent=True)
        many = {
            **shop.REFUNDED,
            "sql": "SELECT captured_minor AS amount_minor FROM orders WHERE id IN :ids",
            "parameters": {"ids": "/order_ids"},
        }
        found = await gathered(gatherer, {"refunds": many}, order_ids=[injection, injection])
        assert found["refunds"].value == []
    assert orders(tmp_path / "shop.db") == shop.ORDERS


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET captured_minor = 0 WHERE id = :id RETURNING id",
        "DELETE FROM orders WHERE id = :id RETURNING id",
        "ATTACH DATABASE :id AS other",
        "PRAGMA query_only = 0",
        "CREATE TABLE x (id)",
        "SELECT load_extension(:id)",
    ],
)
async def test_a_source_cannot_be_written_to_even_by_a_statement_that_got_past_the_checks(
    sql, tmp_path
):
    """I can write manifests but not to the shop. My SQL writes; I hope that only the checks of the
    manifest stand in the way."""
    path = tmp_path / "shop.db"
    shop.make_shop(path)
    spec = replace(parse(shop.document(order=shop.ORDER)).facts["order"], sql=sql)
    parameters = {"id": "O-1001"} if ":id" in sql else {}
    source = SqlSource(SourceSettings(url=f"sqlite:///{path}"))
    with pytest.raises(LookUpFailed):
        await source.look_up(spec, parameters, rows_max=1)
    await source.close()
    assert orders(path) == shop.ORDERS


async def test_a_query_that_never_ends_is_stopped_and_its_connection_serves_the_next(tmp_path):
    """I choose a value for which the operator's query runs for ever. The source has one connection;
    every later look-up will wait for mine."""
    endless = {
        **shop.ORDER,
        "sql": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE :id <> '')"
        " SELECT MAX(x) AS captured_minor FROM n",
        "deadline_s": 0.05,
    }
    async with shop_at(tmp_path / "shop.db") as gatherer:
        found = await gathered(gatherer, {"order": endless}, order_id="O-1001")
        assert found["order"].error == "DEADLINE_EXCEEDED"
        found = await gathered(gatherer, {"order": shop.ORDER}, order_id="O-1001")
        assert found["order"].error == ""


async def test_many_endless_queries_leave_no_thread_behind(tmp_path):
    """As before, many at once: those that wait for a connection must end as well."""
    endless = {
        **shop.ORDER,
        "sql": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE :id <> '')"
        " SELECT MAX(x) AS captured_minor FROM n",
        "deadline_s": 0.1,
    }
    async with shop_at(tmp_path / "shop.db", connections=2) as gatherer:
        specs = {f"order_{n}": endless for n in range(10)}
        found = await gathered(gatherer, specs, order_id="O-1001")
        assert {fact.error for fact in found.values()} == {"DEADLINE_EXCEEDED"}
        found = await gathered(gatherer, {"order": shop.ORDER}, order_id="O-1001")
        assert found["order"].error == ""


@asynccontextmanager
async def web_at(
    answer: bytes, *, ends: bool = True
) -> AsyncIterator[tuple[Gatherer, str, list[bytes]]]:
    """A server that keeps the first line of each request and says one thing."""
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        lines.append(request.partition(b"\r\n")[0])
        writer.write(answer)
        await writer.drain()
        if not ends:
            await reader.read()  # until the broker hangs up
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    gatherer = Gatherer(open_sources({"crm": SourceSettings(url=origin)}))
    try:
        yield gatherer, origin, lines
    finally:
        await gatherer.close()
        server.close()
        await server.wait_closed()


def web_order(origin: str) -> dict[str, Any]:
    return {
        "order": {
            "source": "crm",
            "url": f"{origin}/customers/c-204/orders/{{id}}?view={{view}}",
            "parameters": {"id": "/order_id", "view": "/note"},
            "deadline_s": 5,
            "shape": {"type": "object"},
        },
    }


@pytest.mark.parametrize(
    "trick",
    ["..", ".", "../../c-999/orders/O-1", "..%2f..%2fadmin", "%2e%2e", "a/b", "a\\b", "", "x\r\ny"],
)
async def test_a_path_trick_in_an_argument_never_leaves_the_broker(trick):
    """I am the agent. The look-up's path ends in my order's id; with `../` I make it end elsewhere,
    at another customer's order that the broker will then take for mine."""
    async with web_at(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as (web, origin, lines):
        found = await gathered(web, web_order(origin), order_id=trick, note="x")
        assert found["order"] == Fact(name="order", source="crm", error="QUERY_FAILED")
        assert lines == []


async def test_a_value_in_the_query_adds_no_parameter():
    """I am the agent. My note is a query's value; I add `&admin=1` to it, and a fragment."""
    async with web_at(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as (web, origin, lines):
        await gathered(web, web_order(origin), order_id="O-1?x=#y", note="a&admin=1#../")
        assert lines == [
            b"GET /customers/c-204/orders/O-1%3Fx%3D%23y?view=a%26admin%3D1%23..%2F HTTP/1.1",
        ]


async def test_an_answer_cannot_send_the_broker_elsewhere():
    """I own the service's page and redirect the broker to another customer's, which its credential
    opens as well."""
    head = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n"
    answer = head + b"location: /customers/c-999/orders/O-1\r\n\r\n"
    async with web_at(answer) as (web, origin, lines):
        found = await gathered(web, web_order(origin), order_id="O-1", note="x")
        assert found["order"].error == "QUERY_FAILED"
        assert len(lines) == 1


async def test_an_answer_that_drips_ends_at_the_deadline():
    """I own the service and never finish my answer."""
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n"
    async with web_at(answer, ends=False) as (web, origin, _):
        specs = web_order(origin)
        specs["order"]["deadline_s"] = 0.2
        found = await gathered(web, specs, order_id="O-1", note="x")
        assert found["order"].error == "DEADLINE_EXCEEDED"

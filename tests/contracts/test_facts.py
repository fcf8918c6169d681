"""What whoever looks facts up promises: the same of the fake and of a real database."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Fact
from broker.core.errors import Defect
from broker.core.manifest import parse
from broker.facts.gatherer import Gatherer, open_sources
from broker.facts.source import SourceSettings
from broker.ports import Facts
from tests.fakes import shop
from tests.fakes.desk import principal, session
from tests.fakes.facts import FakeFacts


def _orders(parameters) -> list[Any]:
    return [
        {"id": row[0], "customer_id": row[1], "captured_minor": row[4]}
        for row in shop.ORDERS
        if row[0] == parameters["id"]
    ]


def _refunds(parameters) -> list[Any]:
    return [{"amount_minor": a} for order, a in sorted(shop.REFUNDS) if order == parameters["id"]]


def _of_customer(parameters) -> list[Any]:
    return [{"id": row[0]} for row in shop.ORDERS if row[1] == parameters["customer"]]


@pytest.fixture(params=["fake", "sqlite"])
async def facts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Facts]:
    if request.param == "fake":
        yield FakeFacts(
            {
                "order": _orders,
                "orders": _orders,
                "refunds": _refunds,
                "siblings": _of_customer,
            },
        )
        return
    shop.make_shop(tmp_path / "shop #1.db")
    gatherer = Gatherer(
        open_sources({"shop": SourceSettings(url=f"sqlite:///{tmp_path}/shop #1.db")}),
    )
    yield gatherer
    await gatherer.close()


async def gathered(facts: Facts, specs: dict[str, Any], **arguments: Any) -> dict[str, Fact]:
    manifest = parse(shop.document(**specs))
    who = session()
    found = await facts.gather(manifest, arguments=arguments, principal=who.principal, session=who)
    return dict(found)


async def test_a_row_is_an_object_by_column(facts):
    found = await gathered(facts, {"order": shop.ORDER}, order_id="O-1001")
    assert found["order"] == Fact(
        name="order",
        source="shop",
        value={"id": "O-1001", "customer_id": "customers/c-204", "captured_minor": 12_000},
    )


async def test_no_row_is_absent_and_no_error(facts):
    found = await gathered(facts, {"order": shop.ORDER}, order_id="O-9999")
    assert found["order"] == Fact(name="order", source="shop", absent=True)


async def test_many_rows_are_a_list_that_may_be_empty(facts):
    found = await gathered(facts, {"refunds": shop.REFUNDED}, order_id="O-1001")
    assert found["refunds"].value == [{"amount_minor": 2_500}, {"amount_minor": 3_500}]
    found = await gathered(facts, {"refunds": shop.REFUNDED}, order_id="O-1002")
    assert found["refunds"] == Fact(name="refunds", source="shop", value=[])


async def test_more_rows_than_declared_are_an_error(facts):
    few = {**shop.REFUNDED, "rows_max": 1}
    found = await gathered(facts, {"refunds": few}, order_id="O-1001")
    assert found["refunds"] == Fact(name="refunds", source="shop", error="TOO_MANY_ROWS")


async def test_a_second_row_where_one_is_declared_is_an_error(facts):
    one = {key: value for key, value in shop.REFUNDED.items() if key != "rows"}
    found = await gathered(facts, {"refunds": one}, order_id="O-1001")
    assert found["refunds"].error == "TOO_MANY_ROWS"


async def test_a_missing_parameter_is_an_error_and_reaches_no_source(facts):
    found = await gathered(facts, {"order": shop.ORDER})
    assert found["order"] == Fact(name="order", source="shop", error="PARAMETER_ABSENT")


async def test_a_fact_may_use_another_whatever_their_order(facts):
    specs = {"siblings": shop.OF_CUSTOMER, "order": shop.ORDER}
    found = await gathered(facts, specs, order_id="O-1002")
    assert list(found) == ["siblings", "order"]
    assert found["siblings"].value == [{"id": "O-1001"}, {"id": "O-1002"}]


async def test_what_needs_an_absent_fact_has_no_parameter(facts):
    specs = {"order": shop.ORDER, "siblings": shop.OF_CUSTOMER}
    found = await gathered(facts, specs, order_id="O-9999")
    assert found["siblings"].error == "PARAMETER_ABSENT"


async def test_each_element_is_looked_up_in_order(facts):
    found = await gathered(facts, {"orders": shop.EACH}, order_ids=["O-2002", "O-1001"])
    value = found["orders"].value
    assert isinstance(value, list)
    assert [row["id"] for row in value] == ["O-2002", "O-1001"]


async def test_one_absent_element_makes_the_whole_absent_unless_null_is_meant(facts):
    ids = ["O-1001", "O-9999"]
    found = await gathered(facts, {"orders": shop.EACH}, order_ids=ids)
    assert found["orders"] == Fact(name="orders", source="shop", absent=True)
    found = await gathered(facts, {"orders": {**shop.EACH, "absent": "NULL"}}, order_ids=ids)
    assert found["orders"].value[1] is None


async def test_too_many_elements_are_an_error(facts):
    two = {**shop.EACH, "items_max": 2}
    found = await gathered(facts, {"orders": two}, order_ids=["O-1001"] * 3)
    assert found["orders"].error == "TOO_MANY_ROWS"


async def test_an_empty_array_is_looked_up_for_nothing(facts):
    found = await gathered(facts, {"orders": shop.EACH}, order_ids=[])
    assert found["orders"] == Fact(name="orders", source="shop", value=[])


async def test_nothing_declared_is_nothing_found(facts):
    assert await gathered(facts, {}) == {}


# What only a real source can show.


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Gatherer]:
    shop.make_shop(tmp_path / "shop.db")
    path = f"sqlite:///{tmp_path}/shop.db"
    sources = {
        "shop": SourceSettings(url=path, connections=1),
        "gone": SourceSettings(url=f"sqlite:///{tmp_path}/none.db"),
    }
    gatherer = Gatherer(open_sources(sources))
    yield gatherer
    await gatherer.close()


def _order(**changes: Any) -> dict[str, Any]:
    return {"order": {**shop.ORDER, **changes}}


async def test_a_row_of_another_shape_is_an_error(database):
    narrow = {"type": "object", "properties": {"captured_minor": {"type": "string"}}}
    found = await gathered(database, _order(shape=narrow), order_id="O-1001")
    assert found["order"] == Fact(name="order", source="shop", error="SHAPE_INVALID")


async def test_what_json_has_no_number_for_is_an_error(database):
    for literal in ("9007199254740993", "9e999", "x'00'"):
        sql = f"SELECT {literal} AS captured_minor WHERE :id = :id"
        found = await gathered(database, _order(sql=sql, shape={"type": "object"}), order_id="O-1")
        assert found["order"].error == "SHAPE_INVALID"


async def test_a_broken_query_is_an_error(database):
    sql = "SELECT nothing FROM orders WHERE id = :id"
    found = await gathered(database, _order(sql=sql), order_id="O-1001")
    assert found["order"].error == "QUERY_FAILED"


async def test_an_unknown_or_unreachable_source_is_an_error(database):
    for source in ("gone", "nowhere"):
        found = await gathered(database, _order(source=source), order_id="O-1001")
        assert found["order"] == Fact(name="order", source=source, error="SOURCE_UNAVAILABLE")


async def test_a_failing_fact_leaves_the_others_alone(database):
    specs = {"other": {**shop.ORDER, "source": "gone"}, "order": shop.ORDER}
    found = await gathered(database, specs, order_id="O-1001")
    assert (found["other"].error, found["order"].error) == ("SOURCE_UNAVAILABLE", "")


async def test_arrays_expand_and_only_where_the_statement_says_in(database):
    many = {
        **shop.REFUNDED,
        "sql": "SELECT captured_minor AS amount_minor FROM orders WHERE id IN :ids ORDER BY 1",
        "parameters": {"ids": "/order_ids"},
    }
    found = await gathered(database, {"refunds": many}, order_ids=["O-1001", "O-1002"])
    assert found["refunds"].value == [{"amount_minor": 900}, {"amount_minor": 12_000}]
    found = await gathered(database, {"refunds": many}, order_ids=[])
    assert found["refunds"].value == []
    scalar = {**shop.ORDER, "parameters": {"id": "/order_ids"}}
    found = await gathered(database, {"order": scalar}, order_ids=["O-1001"])
    assert found["order"].error == "QUERY_FAILED"


async def test_what_the_shop_commits_is_seen_by_the_next_look_up(database, tmp_path):
    assert (await gathered(database, {"order": shop.ORDER}, order_id="O-7"))["order"].absent
    writer = sqlite3.connect(tmp_path / "shop.db")
    with writer:
        writer.execute("INSERT INTO orders VALUES ('O-7', 'c', 'card', 'EUR', 1)")
    writer.close()
    found = await gathered(database, {"order": shop.ORDER}, order_id="O-7")
    assert found["order"].value["captured_minor"] == 1


async def test_a_writer_that_locks_the_shop_fails_look_ups_only_as_long_as_it_does(
    database, tmp_path
):
    writer = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    found = await gathered(database, _order(deadline_s=0.05), order_id="O-1001")
    assert found["order"].error == "DEADLINE_EXCEEDED"
    writer.execute("ROLLBACK")
    writer.close()
    found = await gathered(database, _order(), order_id="O-1001")
    assert found["order"].error == ""


def test_refusals_tell_at_registration_what_could_never_work(tmp_path):
    gatherer = Gatherer(
        open_sources(
            {
                "shop": SourceSettings(url=f"sqlite:///{tmp_path}/x.db"),
                "crm": SourceSettings(url="https://crm.test"),
            },
        ),
    )
    web = {key: value for key, value in shop.ORDER.items() if key != "sql"}
    specs = {
        "fine": shop.ORDER,
        "nowhere": {**shop.ORDER, "source": "mars"},
        "web": {**web, "url": "https://other.test/{id}", "source": "crm"},
        "mixed": {**web, "url": "https://crm.test/{id}"},
    }
    told = gatherer.refusals(parse(shop.document(**specs)))
    assert [line.split(":")[0] for line in told] == [
        "/facts/nowhere/source",
        "/facts/web/source",
        "/facts/mixed/source",
    ]


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "mysql://x/y", "http://crm.test", "https://crm.test/path", "nonsense"],
)
def test_a_source_of_no_supported_kind_is_refused_by_name(url):
    with pytest.raises(ValueError, match="source crm"):
        open_sources({"crm": SourceSettings(url=url)})


async def test_a_session_of_another_principal_is_a_defect(database):
    with pytest.raises(Defect):
        await database.gather(
            parse(shop.document(**_order())),
            arguments={},
            principal=principal("customers/other"),
            session=session(),
        )

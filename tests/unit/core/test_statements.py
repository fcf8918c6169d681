"""SQL of a fact is one statement that only reads."""

import pytest

from broker.core import statements


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select a from b where c = :c;",
        "WITH r AS (SELECT 1 AS one) SELECT one FROM r",
        "SELECT ';', 'it''s', \"a;b\" -- ; no more\nFROM t /* ; */",
        "SELECT x::text, replace(a, 'x', 'y') FROM t WHERE id IN :ids",
    ],
)
def test_one_reading_statement_passes(sql):
    assert statements.findings(sql) == ()


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "PRAGMA user_version",
        "DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT id FROM gone",
        "SELECT a INTO b FROM c",
        "SELECT a FROM t FOR UPDATE",
        "SELECT 'open FROM t",
        "SELECT /* open FROM t",
        "SELECT ':name' FROM t",
        "-- :name\nSELECT 1",
        r"SELECT \:name",
        "VALUES (1)",
    ],
)
def test_anything_else_is_found(sql):
    assert statements.findings(sql)


def test_parameters_are_those_that_are_bound():
    sql = "SELECT a::int, 'at :noon' FROM t WHERE b = :b AND c IN :cs AND d IN (:d)"
    assert statements.parameters(sql) == {"b", "cs", "d"}
    assert statements.expanding(sql) == {"cs"}

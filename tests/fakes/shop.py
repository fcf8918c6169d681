"""A shop's database in a file, and a manifest whose facts are of every kind."""

import sqlite3
from pathlib import Path
from typing import Any

ORDERS = [
    ("O-1001", "customers/c-204", "card ending 0017", "EUR", 12_000),
    ("O-1002", "customers/c-204", "card ending 0017", "EUR", 900),
    ("O-2002", "customers/c-999", "invoice", "USD", 70_000),
]
REFUNDS = [("O-1001", 2_500), ("O-1001", 3_500)]
COLUMNS = ("id", "customer_id", "method", "currency", "captured_minor")

TEXT = {"type": "string"}
ARGUMENTS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "order_id": TEXT,
        "order_ids": {"type": "array", "items": TEXT},
        "note": TEXT,
    },
}
ORDER = {
    "source": "shop",
    "sql": "SELECT id, customer_id, captured_minor FROM orders WHERE id = :id",
    "parameters": {"id": "/order_id"},
    "deadline_s": 5,
    "shape": {
        "type": "object",
        "properties": {"id": TEXT, "customer_id": TEXT, "captured_minor": {"type": "integer"}},
    },
}
REFUNDED = {
    "source": "shop",
    "sql": "SELECT amount_minor FROM refunds WHERE order_id = :id ORDER BY amount_minor",
    "parameters": {"id": "/order_id"},
    "deadline_s": 5,
    "rows": "many",
    "shape": {"type": "object", "properties": {"amount_minor": {"type": "integer"}}},
}
OF_CUSTOMER = {
    "source": "shop",
    "sql": "SELECT id FROM orders WHERE customer_id = :customer ORDER BY id",
    "parameters": {"customer": "order#/customer_id"},
    "deadline_s": 5,
    "rows": "many",
    "shape": {"type": "object", "properties": {"id": TEXT}},
}
EACH = {**ORDER, "for_each": "/order_ids", "parameters": {"id": "each#"}}


def make_shop(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, customer_id TEXT, method TEXT,"
            " currency TEXT, captured_minor INTEGER)"
        )
        connection.execute("CREATE TABLE refunds (order_id TEXT, amount_minor INTEGER)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", ORDERS)
        connection.executemany("INSERT INTO refunds VALUES (?, ?)", REFUNDS)
    connection.close()


def document(**facts: Any) -> dict[str, Any]:
    """A tool that does nothing but have these facts."""
    return {
        "name": "look",
        "description": "Looks.",
        "summary": "Look",
        "arguments": ARGUMENTS,
        "scopes": [{"name": "look:use"}],
        "facts": facts,
    }

"""The shop's own interface to its records: HTTP on loopback, JSON, money in cents.

It serves what the evaluator's live look-up has, and nothing that a call says of itself. Every shop
(one a session of the replay) is a first segment of the path, `/{shop}/orders/{id}`. What is not on
record is 404, which a fact knows as absent. Records keep prices as decimals with two places; this
is the one place that turns them into integers, exactly, by way of their decimal text.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote


class Lookup(Protocol):
    """The evaluator's live records; `get` raises where there is no such record."""

    def get(self, kind: str, key: str) -> dict[str, Any]: ...

    def variant(self, item_id: str) -> tuple[str, dict[str, Any]] | None: ...


class RecordServer:
    """Serves the shops that are open; `origin` is `http://127.0.0.1:port`."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._shops: dict[str, Lookup] = {}

    def open(self, shop: str, lookup: Lookup) -> None:
        self._shops[shop] = lookup

    def close(self, shop: str) -> None:
        self._shops.pop(shop, None)

    def answer(self, path: str) -> dict[str, Any] | None:
        match [unquote(segment) for segment in path.strip("/").split("/")]:
            case [shop, kind, key] if shop in self._shops and kind in _VIEWS:
                return _VIEWS[kind](self._shops[shop], key)
        return None


@contextmanager
def serving() -> Iterator[RecordServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.daemon_threads = True
        records = RecordServer(f"http://127.0.0.1:{http.server_port}")
        _Handler.of[http.server_port] = records
        thread = threading.Thread(
            target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()
        try:
            yield records
        finally:
            http.shutdown()
            thread.join()
            del _Handler.of[http.server_port]


class _Handler(BaseHTTPRequestHandler):
    of: ClassVar[dict[int, RecordServer]] = {}
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer

    def do_GET(self) -> None:
        found = self.of[self.server.server_port].answer(self.path)
        body = json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""


def _order(lookup: Lookup, key: str) -> dict[str, Any] | None:
    order = _get(lookup, "orders", key)
    if order is None:
        return None
    history = order["payment_history"]
    paid: defaultdict[str, int] = defaultdict(int)
    for entry in history:
        sign = 1 if entry["transaction_type"] == "payment" else -1
        paid[entry["payment_method_id"]] += sign * _minor(entry["amount"])
    return {
        "customer_id": order["user_id"],
        "status": order["status"],
        "items": [
            {
                "item_id": item["item_id"],
                "product_id": item["product_id"],
                "price_minor": _minor(item["price"]),
            }
            for item in order["items"]
        ],
        "paid_with": sorted(method for method, minor in paid.items() if minor > 0),
        "original_method": history[0]["payment_method_id"] if history else "",
        "total_minor": sum(minor for minor in paid.values() if minor > 0),
    }


def _customer(lookup: Lookup, key: str) -> dict[str, Any] | None:
    user = _get(lookup, "users", key)
    if user is None:
        return None
    return {
        "customer_id": user["user_id"],
        "email": user["email"],
        "first_name": user["name"]["first_name"],
        "last_name": user["name"]["last_name"],
        "zip": user["address"]["zip"],
        "payment_methods": [
            {
                "method_id": name,
                "kind": method["source"],
                "balance_minor": _minor(method.get("balance", 0)),
            }
            for name, method in sorted(user["payment_methods"].items())
        ],
    }


def _item(lookup: Lookup, key: str) -> dict[str, Any] | None:
    found = lookup.variant(key)
    if found is None:
        return None
    product_id, item = found
    return {
        "item_id": key,
        "product_id": product_id,
        "available": item["available"],
        "price_minor": _minor(item["price"]),
    }


_VIEWS: Mapping[str, Callable[[Lookup, str], dict[str, Any] | None]] = {
    "orders": _order,
    "customers": _customer,
    "items": _item,
}


def _get(lookup: Lookup, kind: str, key: str) -> dict[str, Any] | None:
    try:
        return lookup.get(kind, key)
    except Exception as absent:
        if type(absent).__name__ != "NotFound":  # the evaluator's own class
            raise
        return None


def _minor(amount: float) -> int:
    minor = Decimal(str(amount)) * 100
    if minor != minor.to_integral_value():
        raise ValueError("an amount of money with a fraction of a cent")
    return int(minor)

"""The tools of the support desk, in a process of their own that alone can write to the shop.

    python -m examples.support_desk.worker

Address and token come from CALLBROKER_ADDRESS and CALLBROKER_WORKER_TOKEN, the database from
SUPPORT_DESK_SHOP. The tools are plain on purpose: `refund` pays what it is told. That no refund
exceeds its payment is kept by the broker, with a fact, a rule and an exclusive key; here a second
delivery of the same call is made harmless, by the invocation's name as its key. One thing is
enforced here a second time: articles are fetched and searched as the asking user.
"""

import json
import os
from pathlib import Path
from typing import TypedDict

from broker.sdk import Call, Change, ToolFailed, Worker
from examples.support_desk.records import Records

worker = Worker()
shop = Records(path=Path(os.environ["SUPPORT_DESK_SHOP"]))


class Item(TypedDict):
    """A line of an order."""

    title: str
    quantity: int
    price_minor: int


class Order(TypedDict):
    """An order, its payment and what went back; amounts in cents."""

    order_id: str
    status: str
    address: str
    items: list[Item]
    method: str
    currency: str
    captured_minor: int
    refunded_minor: int


class OrderLine(TypedDict):
    """An order in a list."""

    order_id: str
    status: str
    placed_at: str


class Customer(TypedDict):
    """A customer's own record."""

    customer_id: str
    mail: str
    since: str
    addresses: list[str]


class CustomerLine(TypedDict):
    """A customer in a list."""

    customer_id: str
    mail: str


class Mail(TypedDict):
    """A mail that came in. Anybody may have written it."""

    sender: str
    subject: str
    body: str


class Article(TypedDict):
    """An article of the knowledge base."""

    title: str
    body: str


class ArticleLine(TypedDict):
    """An article in a list."""

    article_id: str
    title: str


class Refunded(TypedDict):
    """The receipt of a refund."""

    refund_id: str


class Status(TypedDict):
    """Where an order is now."""

    status: str


class Address(TypedDict):
    """Where an order goes now."""

    address: str


class Sent(TypedDict):
    """To how many a mail went."""

    sent: int


class Deleted(TypedDict):
    """Whether an account is gone."""

    deleted: bool


@worker.tool("refund")
def refund(
    call: Call, *, order_id: str, amount_minor: int, currency: str, reason: str = ""
) -> Refunded:
    """Pay money back to the order's own method."""
    del currency  # of the payment; a rule has compared the two
    shop.write(
        """INSERT INTO refunds (id, invocation, order_id, amount_minor, reason)
           SELECT 'r-' || (1 + COUNT(*)), :invocation, :order_id, :amount_minor, :reason
             FROM refunds WHERE true
               ON CONFLICT (invocation) DO NOTHING""",
        invocation=call.invocation,
        order_id=order_id,
        amount_minor=amount_minor,
        reason=reason,
    )
    (row,) = shop.rows(
        "SELECT id FROM refunds WHERE invocation = :invocation", invocation=call.invocation
    )
    return {"refund_id": row["id"]}


@refund.preview
def left_on_the_payment(*, order_id: str, amount_minor: int, **_: object) -> list[Change]:
    """What a reviewer is told before they let money go."""
    found = shop.rows(
        """SELECT p.currency, p.captured_minor
                  - (SELECT COALESCE(SUM(amount_minor), 0) FROM refunds WHERE order_id = o.id)
                    AS left_minor
             FROM orders o JOIN payments p ON p.order_id = o.id WHERE o.id = :order_id""",
        order_id=order_id,
    )
    if not found:
        raise ToolFailed("ORDER_UNKNOWN", "There is no such order.")
    left = found[0]["left_minor"]
    return [
        Change(
            "left on the payment",
            before_minor=left,
            after_minor=left - amount_minor,
            currency=found[0]["currency"],
        )
    ]


@worker.tool("read_order")
def read_order(*, order_id: str) -> Order:
    """One order."""
    found = shop.rows(
        """SELECT o.status, o.address, p.method, p.currency, p.captured_minor,
                  (SELECT COALESCE(SUM(amount_minor), 0) FROM refunds WHERE order_id = o.id)
                    AS refunded_minor
             FROM orders o JOIN payments p ON p.order_id = o.id WHERE o.id = :order_id""",
        order_id=order_id,
    )
    if not found:
        raise ToolFailed("ORDER_UNKNOWN", "There is no such order.")
    items = shop.rows(
        """SELECT title, quantity, price_minor FROM order_items
            WHERE order_id = :order_id ORDER BY position""",
        order_id=order_id,
    )
    order = found[0]
    return {
        "order_id": order_id,
        "status": order["status"],
        "address": order["address"],
        "items": [
            {"title": i["title"], "quantity": i["quantity"], "price_minor": i["price_minor"]}
            for i in items
        ],
        "method": order["method"],
        "currency": order["currency"],
        "captured_minor": order["captured_minor"],
        "refunded_minor": order["refunded_minor"],
    }


@worker.tool("list_orders")
def list_orders(*, customer_id: str) -> list[OrderLine]:
    """A customer's orders, newest first."""
    found = shop.rows(
        """SELECT id, status, placed_at FROM orders
            WHERE customer_id = :customer_id ORDER BY placed_at DESC""",
        customer_id=customer_id,
    )
    return [
        {"order_id": o["id"], "status": o["status"], "placed_at": o["placed_at"]} for o in found
    ]


@worker.tool("cancel_order")
def cancel_order(*, order_id: str, reason: str = "") -> Status:
    """Cancel an order. Twice is as once."""
    del reason  # it is in the broker's log
    shop.write("UPDATE orders SET status = 'cancelled' WHERE id = :order_id", order_id=order_id)
    return {"status": "cancelled"}


@worker.tool("change_address")
def change_address(*, order_id: str, address: str) -> Address:
    """Send an order elsewhere. Twice is as once."""
    shop.write(
        "UPDATE orders SET address = :address WHERE id = :order_id",
        order_id=order_id,
        address=address,
    )
    return {"address": address}


@worker.tool("read_customer")
def read_customer(*, customer_id: str) -> Customer:
    """A customer's own record."""
    found = shop.rows(
        "SELECT mail, since FROM customers WHERE id = :customer_id", customer_id=customer_id
    )
    if not found:
        raise ToolFailed("CUSTOMER_UNKNOWN", "There is no such customer.")
    addresses = shop.rows(
        "SELECT address FROM addresses WHERE customer_id = :customer_id ORDER BY address",
        customer_id=customer_id,
    )
    return {
        "customer_id": customer_id,
        "mail": found[0]["mail"],
        "since": found[0]["since"],
        "addresses": [row["address"] for row in addresses],
    }


@worker.tool("list_customers")
def list_customers() -> list[CustomerLine]:
    """All customers."""
    found = shop.rows("SELECT id, mail FROM customers ORDER BY id")
    return [{"customer_id": c["id"], "mail": c["mail"]} for c in found]


@worker.tool("delete_customer")
def delete_customer(*, customer_id: str) -> Deleted:
    """Close an account; its addresses go with it. Twice is as once."""
    shop.write("DELETE FROM customers WHERE id = :customer_id", customer_id=customer_id)
    return {"deleted": True}


@worker.tool("read_mail")
def read_mail(*, mail_id: str) -> Mail:
    """One mail."""
    found = shop.rows(
        "SELECT sender, subject, body FROM mails WHERE id = :mail_id", mail_id=mail_id
    )
    if not found:
        raise ToolFailed("MAIL_UNKNOWN", "There is no such mail.")
    mail = found[0]
    return {"sender": mail["sender"], "subject": mail["subject"], "body": mail["body"]}


@worker.tool("send_mail")
def send_mail(call: Call, *, to: list[str], subject: str, body: str) -> Sent:
    """Put a mail into the outbox, once."""
    shop.write(
        """INSERT INTO sent_mails (invocation, recipients, subject, body)
           VALUES (:invocation, :recipients, :subject, :body)
               ON CONFLICT (invocation) DO NOTHING""",
        invocation=call.invocation,
        recipients=json.dumps(to),
        subject=subject,
        body=body,
    )
    return {"sent": len(to)}


@worker.tool("search_articles")
def search_articles(call: Call, *, words: str) -> list[ArticleLine]:
    """Search in what the asking user may read, and in nothing else."""
    found = shop.readable(
        """SELECT DISTINCT a.id, a.title FROM articles a
             JOIN article_readers p ON p.article_id = a.id
             JOIN readers r ON r.reader = p.reader
            WHERE instr(lower(a.title || ' ' || a.body), lower(:words)) > 0 ORDER BY a.id""",
        call.principal_groups,
        words=words,
    )
    return [{"article_id": a["id"], "title": a["title"]} for a in found]


@worker.tool("read_article")
def read_article(call: Call, *, article_id: str) -> Article:
    """Fetch an article as the asking user: one that is not theirs is not there."""
    found = shop.readable(
        """SELECT a.title, a.body FROM articles a
             JOIN article_readers p ON p.article_id = a.id
             JOIN readers r ON r.reader = p.reader
            WHERE a.id = :article_id""",
        call.principal_groups,
        article_id=article_id,
    )
    if not found:
        raise ToolFailed("ARTICLE_UNKNOWN", "There is no such article.")
    return {"title": found[0]["title"], "body": found[0]["body"]}


if __name__ == "__main__":
    worker.run()

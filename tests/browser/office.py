"""A support desk whose reviewers sign in at a provider: a whole broker, and everybody around it.

Everything is real: the broker with its OPA and store, the desk's own worker as a process, the
provider. What is not the desk's own are a few rules, one of which marks very large refunds as high,
and the clock, which a test may move ahead. Each test brings customers of its own, so that no limit
counts what another test did, and leaves an empty queue.
"""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import structlog
from playwright.sync_api import Page, StorageState

from broker import bootstrap, config
from broker.app import Application
from broker.log import configure
from broker.sdk import SyncBroker, SyncHeld, SyncOutcome, SyncSession, connect_sync
from broker.v1 import admin_pb2_grpc, review_pb2, review_pb2_grpc, signing_in_pb2
from broker.web_settings import Oidc, Web
from examples.support_desk import agents, records
from examples.support_desk.operating import Operator
from tests.browser.oidc_provider import OidcProvider
from tests.browser.provided_desk import LEADS, provide, working
from tests.browser.visiting import Visitor
from tests.e2e.guarded_shop import MovableClock
from tests.replay.running import START_S, Loop, until

PEOPLE = {
    "lead-1": [LEADS],
    "lead-2": [LEADS],
    "clerk-1": ["warehouse"],
    "visitor-1": ["lunch"],
}
"""Who is in which of the provider's groups; `lunch` is none of the broker's."""


_By = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody whose orders the agent may refund.

    Attributes:
        orders: names of theirs, each paid with EUR 500.00.
    """

    name: str
    mail: str
    orders: Sequence[str]


@dataclass(slots=True, kw_only=True)
class Office:
    """The broker, and everybody around it.

    Attributes:
        clock: the broker's; whoever moves it by more than `let_run` uses an office of its own.
        take_back_s: for so long an approval can be taken back; nobody waits that long here.
        lead_token: of a reviewer at a terminal.
        operator_token: of who may sign others out.
    """

    application: Application
    loop: Loop
    clock: MovableClock
    take_back_s: float
    operator: Operator
    agent: SyncBroker
    shop: records.Records
    provider: OidcProvider
    lead_token: str = field(repr=False)
    operator_token: str = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(5001))
    _signed_in: dict[str, StorageState] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Where the pages are, without a slash at the end."""
        assert self.application.pages is not None
        return self.application.pages.url

    def sign_in(self, page: Page, name: str) -> None:
        """From the pages' own door by way of the provider, and back to the queue."""
        page.goto("/sign-in")
        page.get_by_role("link", name="Sign in at").click()
        self.sign_in_there(page, name)

    def sign_in_there(self, page: Page, name: str) -> None:
        """At the provider's own page; its clock goes with the broker's, wherever that is by now."""
        self.provider.set_clock(ahead_s=self.clock.ahead_s)
        self.provider.sign_in(page, name)

    def state(self, visitor: Visitor, name: str = "lead-1") -> StorageState:
        """What a browser of somebody who is signed in keeps; they sign in where they are not."""
        visitor.base_url = self.base_url
        if name not in self._signed_in:
            with visitor.page() as page:
                self.sign_in(page, name)
                page.wait_for_url(f"{self.base_url}/")
                state = page.context.storage_state()
            # At the provider they are strangers again: what a test needs there it does itself.
            own = [one for one in state["cookies"] if one["domain"] == "127.0.0.1"]
            self._signed_in[name] = {"cookies": own, "origins": []}
        return self._signed_in[name]

    @contextlib.contextmanager
    def reviewing(self, visitor: Visitor, name: str = "lead-1", **look: Any) -> Iterator[Page]:
        """A page of somebody who is signed in."""
        state = self.state(visitor, name)
        with visitor.page(state=state, **look) as page:
            yield page

    def customer(self, orders: int = 1, *, named: str = "") -> Customer:
        """Somebody new, with orders; `named` is more of their name."""
        number = next(self._numbers)
        name, mail = f"customers/c-{number}{named}", f"c-{number}@example.com"
        made = [f"O-{next(self._numbers)}" for _ in range(orders)]
        self.shop.write(
            "INSERT INTO customers (id, mail, since) VALUES (:name, :mail, '2025-01-01T00:00:00Z')",
            name=name,
            mail=mail,
        )
        for order in made:
            self.shop.write(
                """INSERT INTO orders (id, customer_id, status, address, placed_at)
                   VALUES (:order, :name, 'placed', 'Mill Lane 1', '2026-01-01T00:00:00Z')""",
                """INSERT INTO payments (order_id, method, currency, captured_minor)
                   VALUES (:order, 'card ending 0017', 'EUR', 50000)""",
                order=order,
                name=name,
            )
        return Customer(name=name, mail=mail, orders=made)

    @contextlib.contextmanager
    def session(self, customer: Customer | None = None, *, words: str = "") -> Iterator["Asking"]:
        """The agent at work for somebody; what then still waits is withdrawn."""
        customer = customer or self.customer()
        mandate = self.agent.create_mandate(
            principal=customer.name,
            groups=agents.GROUPS,
            agent=agents.AGENT,
            words=words or f"Please refund order {customer.orders[0]}.",
            scopes=agents.SCOPES,
            context="mediated",
        )
        with self.agent.open_session(mandate) as opened:
            yield Asking(office=self, session=opened, customer=customer)

    def refunded(self, order: str) -> list[int]:
        """What really went back, in cents."""
        found = self.shop.rows(
            "SELECT amount_minor FROM refunds WHERE order_id = :order ORDER BY id", order=order
        )
        return [int(row["amount_minor"]) for row in found]

    def refund_by_hand(self, order: str, minor: int) -> None:
        """Have somebody else refund so many cents, beside the broker."""
        self.shop.write(
            """INSERT INTO refunds (id, invocation, order_id, amount_minor, reason)
               VALUES (:id, :id, :order, :minor, 'by hand')""",
            id=f"by hand, {order}",
            order=order,
            minor=minor,
        )

    def reject(self, hold: str) -> None:
        """Somebody else rejects it, from a terminal."""
        with self._terminal() as (reviews, by):
            shown = _shown(reviews, by, hold)
            reviews.RejectHold(
                review_pb2.RejectHoldRequest(name=hold, etag=shown.etag, reason="Not needed."),
                metadata=by,
                timeout=START_S,
            )

    def make_less(self, hold: str, amount_minor: int, *, reason: str) -> None:
        """Somebody else makes it less, from a terminal."""
        with self._terminal() as (reviews, by):
            shown = _shown(reviews, by, hold)
            reviews.NarrowHold(
                review_pb2.NarrowHoldRequest(
                    name=hold,
                    etag=shown.etag,
                    changes_json={"/amount_minor": str(amount_minor)},
                    reason=reason,
                ),
                metadata=by,
                timeout=START_S,
            )

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[tuple[review_pb2_grpc.ReviewServiceStub, _By]]:
        """What a reviewer at a terminal speaks to, and who they say that they are."""
        with grpc.insecure_channel(self.application.address) as channel:
            stub = review_pb2_grpc.ReviewServiceStub(channel)
            yield stub, (("authorization", f"Bearer {self.lead_token}"),)

    def revoke_newest_sign_in(self) -> None:
        """An operator signs out whoever has signed in last."""
        by = (("authorization", f"Bearer {self.operator_token}"),)
        with grpc.insecure_channel(self.application.address) as channel:
            admin = admin_pb2_grpc.AdminServiceStub(channel)
            newest, *_ = admin.ListSignIns(
                signing_in_pb2.ListSignInsRequest(), metadata=by, timeout=START_S
            ).sign_ins
            admin.RevokeSignIn(
                signing_in_pb2.RevokeSignInRequest(name=newest.name, reason="Laptop lost."),
                metadata=by,
                timeout=START_S,
            )

    def state_of(self, held: SyncHeld) -> str:
        """The state of a call, as the agent itself learns it."""
        return self.agent.invocation(held.name).state

    def has(self, customer: Customer) -> bool:
        """Whether the shop still knows them."""
        found = self.shop.rows("SELECT id FROM customers WHERE id = :name", name=customer.name)
        return bool(found)

    def outcome(self, held: SyncHeld) -> SyncOutcome:
        """What the waiting agent is told in the end."""
        return held.wait(timeout_s=60)

    def let_run(self) -> None:
        """The time is over in which what was approved until now could be taken back."""
        self.clock.ahead_s += self.take_back_s

    def until_other_hold(self, held: SyncHeld, first: str) -> None:
        """Wait until a call waits again, under another hold than its first."""
        until(lambda: self.hold_of(held) not in {"", first}, "the call does not wait again")

    def hold_of(self, held: SyncHeld) -> str:
        """`holds/{uuid}` of what waits now, which a page has below its address."""
        return self.operator.hold(held.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The agent in one session."""

    office: Office
    session: SyncSession
    customer: Customer

    def hold(self, tool: str, **arguments: Any) -> SyncHeld:
        """Ask for what a person decides."""
        outcome = self.session.invoke(tool, arguments)
        assert isinstance(outcome, SyncHeld), outcome
        return outcome

    def refund(self, amount_minor: int = 5500, *, order: str = "", **more: Any) -> SyncHeld:
        """A refund that waits, of the customer's first order where left out."""
        return self.hold(
            "refund",
            order_id=order or self.customer.orders[0],
            amount_minor=amount_minor,
            currency="EUR",
            **more,
        )


@contextlib.contextmanager
def open_office(provider: OidcProvider, *, take_back_s: float = 60.0) -> Iterator[Office]:
    """Start everything, and stop all of it on leaving."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="office-")))
        shop = records.Records(path=directory / "shop.db")
        records.create(shop.path)
        _introduce(provider)
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        settings = _settings(directory, provider, take_back_s)
        # In a thread: a browser may have its own event loop running in this one.
        with ThreadPoolExecutor(1) as aside:
            token = aside.submit(bootstrap.operator_token, settings).result()
        loop = stack.enter_context(Loop())
        clock = MovableClock()
        application = Application(settings, clock=clock)
        loop.run(application.start())
        stack.callback(lambda: loop.run(application.stop()))
        operator = stack.enter_context(Operator(application.address, token))
        tokens = provide(operator, directory)
        stack.enter_context(working(application.address, tokens["worker"], shop.path))
        until(lambda: operator.workers() > 0, "no worker")
        agent = stack.enter_context(
            connect_sync(
                application.address, host_token=tokens["host"], agent_token=tokens["agent"]
            )
        )
        yield Office(
            application=application,
            loop=loop,
            clock=clock,
            take_back_s=take_back_s,
            operator=operator,
            agent=agent,
            shop=shop,
            provider=provider,
            lead_token=tokens["reviewer"],
            operator_token=token,
        )


def _shown(reviews: review_pb2_grpc.ReviewServiceStub, by: _By, hold: str) -> review_pb2.Hold:
    request = review_pb2.GetHoldRequest(name=hold)
    return reviews.GetHold(request, metadata=by, timeout=START_S).hold


def _introduce(provider: OidcProvider) -> None:
    provider.put_client("http://127.0.0.1/sign-in/return")
    for name, groups in PEOPLE.items():
        provider.put_user(name, groups=groups)


def _settings(directory: Path, provider: OidcProvider, take_back_s: float) -> config.Settings:
    secret = directory / "client-secret"
    secret.write_text(provider.client_secret, encoding="utf-8")
    return config.Settings(
        listen="127.0.0.1:0",
        state=directory / "state",
        database=f"sqlite:///{directory}/state/callbroker.db",
        sources={"shop": config.Source(url=f"sqlite:///{directory}/shop.db")},
        log_level="error",
        web=Web(
            listen="127.0.0.1:0",
            take_back_s=take_back_s,
            oidc=Oidc(
                issuer=provider.issuer,
                client_id=provider.client_id,
                client_secret_file=secret,
                groups={LEADS: (LEADS,), "warehouse": ("warehouse",)},
            ),
        ),
    )

"""A browser and the servers that review pages speak to; every test here is a plain function."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, StorageState, expect

from tests.browser.chromium import running_chromium
from tests.browser.desk import Desk, running_desk
from tests.browser.mail_server import MailServer, serving_mail
from tests.browser.office import Office, open_office
from tests.browser.oidc_provider import OidcProvider, serving_oidc
from tests.browser.visiting import PATIENCE_MS, Visitor
from tests.browser.webhook_receiver import WebhookReceiver, receiving_webhooks

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; one for each module, as `tests.browser.chromium` says why."""
    with running_chromium() as started:
        yield started


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Opens pages; the test fails where anything went wrong in one that it did not expect."""
    visiting = Visitor(browser)
    yield visiting
    visiting.assert_nothing_went_wrong()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The support desk as `make run` starts it; `sign_in` is its reviewer's way in."""
    with running_desk(tmp_path_factory.mktemp("desk") / "desk") as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(desk: Desk, browser: Browser) -> StorageState:
    """The desk's local reviewer: `visitor.page(state=signed_in)`."""
    visiting = Visitor(browser)
    state = desk.sign_in(visiting)
    visiting.assert_nothing_went_wrong()
    return state


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """An OpenID Connect provider; tests put their own users and clients into it."""
    with serving_oidc() as provider:
        yield provider


@pytest.fixture(scope="module")
def office(oidc_provider: OidcProvider) -> Iterator[Office]:
    """A broker whose reviewers sign in at the provider; with an empty queue before each test."""
    with open_office(oidc_provider) as opened:
        yield opened


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """An SMTP server without letters."""
    with serving_mail() as server:
        yield server


@pytest.fixture
def webhooks() -> Iterator[WebhookReceiver]:
    """A receiver without deliveries."""
    with receiving_webhooks() as receiver:
        yield receiver

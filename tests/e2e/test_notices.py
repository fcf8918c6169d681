"""People and agents are told through the whole broker, by a real webhook and a real mail."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.notify_settings import NotifyAgent, NotifyMail, NotifyWebhook
from broker.v1 import admin_pb2
from tests.browser.mail_server import PASSWORD, USER, MailServer, serving_mail
from tests.browser.webhook_receiver import SECRET, WebhookReceiver, receiving_webhooks
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.opening import open_shop
from tests.e2e.shop_tools import AGENT
from tests.replay.running import until


@pytest.fixture
def chat() -> Iterator[WebhookReceiver]:
    with receiving_webhooks() as receiver:
        yield receiver


@pytest.fixture
def host() -> Iterator[WebhookReceiver]:
    with receiving_webhooks() as receiver:
        yield receiver


@pytest.fixture
def post() -> Iterator[MailServer]:
    with serving_mail() as server:
        yield server


@pytest.fixture
def telling(
    chat: WebhookReceiver,
    host: WebhookReceiver,
    post: MailServer,
    tmp_path: Path,
) -> Iterator[GuardedShop]:
    """A shop that tells reviewers in a chat and by mail, and the host of the agent."""
    with open_shop(notify=_channels(chat, host, post, tmp_path)) as shop:
        yield shop


def _channels(
    chat: WebhookReceiver, host: WebhookReceiver, post: MailServer, secrets: Path
) -> tuple[NotifyWebhook | NotifyMail | NotifyAgent, ...]:
    (secrets / "hook").write_text(SECRET, encoding="utf-8")
    (secrets / "mail").write_text(PASSWORD, encoding="utf-8")
    return (
        NotifyWebhook(kind="webhook", name="chat", url=chat.url, secret_file=secrets / "hook"),
        NotifyAgent(
            kind="agent_webhook",
            name="host",
            url=host.url,
            secret_file=secrets / "hook",
            agents=(AGENT,),
        ),
        NotifyMail(
            kind="mail",
            name="post",
            smtp=f"{post.host}:{post.port}",
            security="none",
            sender="callbroker@shop.example.com",
            recipients=("lead@shop.example.com",),
            user=USER,
            password_file=secrets / "mail",
        ),
    )


def test_a_held_call_is_told_to_reviewers_and_its_end_to_the_agents_host(
    telling: GuardedShop, chat: WebhookReceiver, host: WebhookReceiver, post: MailServer
):
    shop = telling
    began = time.monotonic()
    held = shop.hold(shop.session(), note_id="n-1")
    said = chat.wait_for()[0].verified()
    assert time.monotonic() - began < 5
    pages = shop.application.pages
    assert pages is not None
    assert said["type"] == "hold.opened"
    assert said["data"]["link"] == f"{pages.url}/{held.name}"
    letter = post.wait_for()[0]
    assert letter.message["subject"].startswith("delete_note waits (")
    assert f"{pages.url}/{held.name}" in letter.text
    assert "A lamp" in held.summary
    assert "A lamp" not in letter.text

    shop.approve(held)
    until(lambda: shop.state(held.invocation) == "SUCCEEDED", "what was approved does not run")
    told = [delivery.verified()["data"] for delivery in host.wait_for(2)]
    assert told[0]["state"] == "HELD"
    assert told[1] == {"invocation": held.invocation, "state": "SUCCEEDED", "code": ""}


def test_the_status_says_how_each_channel_does(telling: GuardedShop):
    def told() -> dict[str, int]:
        answer = telling.admin.GetStatus(admin_pb2.GetStatusRequest(), **telling.by_operator)
        return {one.name: one.sent for one in answer.channels}

    telling.hold(telling.session(), note_id="n-2")
    until(lambda: all(told().values()), f"they say: {told()}")
    assert list(told()) == ["chat", "host", "post"]

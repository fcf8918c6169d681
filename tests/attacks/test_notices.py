"""Those who write into a notice, read one that is not theirs, or are told and mean harm."""

import asyncio
import contextlib
import json
import logging
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from broker import log
from broker.core.lifecycle import InvocationState
from broker.core.notices import AgentMessage, NoticeEvent, Waiting
from broker.core.text import visible
from broker.core.unit import AddHold, AddInvocation
from broker.notices.mail import MailAccount, MailMessenger, letter_of, text_of
from broker.notices.webhook import WebhookMessenger, document
from broker.notifying import Notifying
from broker.ports.notifying import NotDelivered
from tests.browser.mail_server import PASSWORD, USER, serving_mail
from tests.fakes.decision_point import hold, opinion
from tests.fakes.messenger import FakeMessenger, teller
from tests.notice_receiver import (
    NEXT_SECRET,
    SECRET,
    answering,
    certified,
    dripping,
    for_people,
    hanging,
    receiving,
    streaming,
)
from tests.store_values import hold as stored_hold
from tests.store_values import invocation, opened, unit
from tests.world import World, reviewer, world

INJECTED = "refund\r\nBcc: everybody@example.com\r\n\r\nApprove at https://evil.example.com \u202e"
SENDER = "callbroker@shop.example.com"


def messenger(url: str, **changes) -> WebhookMessenger:
    given = {
        "secrets": (SECRET,),
        "clock": time.time,  # noqa: TID251 - receivers live by the wall clock
        "deadline_s": 0.5,
        **changes,
    }
    return WebhookMessenger(url, **given)


async def waiting(w: World, **refund):
    w.policy.answer = opinion(hold("LARGE"))
    held = await w.refund(await w.caller(words=("My PIN is 4711.",)), **refund)
    found = await w.store.find_hold(held.hold)
    return found[0]


def named(tool: str) -> Waiting:
    """As `core.notices.waiting` makes it of a tool that is called so."""
    return Waiting(hold="holds/h", tool=visible(tool), codes=("LARGE",), age_s=1, link="")


def test_a_tool_that_is_called_like_a_header_adds_none():
    """I register, or take over, a tool whose name has line breaks, and write mails by it."""
    letter = letter_of(for_people(waiting=(named(INJECTED),)), SENDER, ("lead@example.com",))
    assert letter["bcc"] is None
    head, _, body = letter.as_bytes().partition(b"\r\n\r\n")
    assert b"\r\nBcc" not in head
    assert b"\nApprove at" not in body
    assert "\u202e" not in letter.get_content()


def test_a_line_break_that_was_not_made_visible_is_refused_by_the_letter_itself():
    """I found a way around the filter: a name reaches the mail as I wrote it."""
    raw = Waiting(hold="holds/h", tool=INJECTED, codes=("LARGE",), age_s=1, link="")
    with pytest.raises(ValueError, match=r"(?i)header|linefeed"):
        letter_of(for_people(waiting=(raw,)), SENDER, ("lead@example.com",))


async def test_nothing_that_an_agent_or_a_user_wrote_is_in_a_notice(tmp_path):
    """I write to the reviewers by arguments, words and names: they shall read it in their mail."""
    async with world(tmp_path) as w:
        out, shop = FakeMessenger(), FakeMessenger()
        held = await waiting(w, amount_minor=4_321)
        await teller(w, out).turn()
        agents = teller(w, shop, for_agents=True)
        await agents.turn()
        await w.reviews.reject(
            reviewer("lead", "reviewers"), held.name, etag=held.etag, reason="not-for-you"
        )
        await agents.turn()
        await agents.turn()
        told = [json.dumps(document(m)) for m in (*out.sent, *shop.sent)]
        told.append(text_of(out.sent[0]))
    assert len(told) == 4
    for hidden in ("4321", "43.21", "O-1001", "EUR", "4711", "c-204", "not-for-you", "assistant"):
        assert not any(hidden in text for text in told), hidden


async def test_another_agents_calls_are_told_to_nobody_elses_receiver(tmp_path):
    """My webhook is for my agent; I wait to hear what the others ask."""
    async with world(tmp_path) as w:
        out = FakeMessenger()
        one = teller(w, out, for_agents=True, agents=("agents/mine",))
        await waiting(w)
        await one.turn()
        assert out.tried == []


async def test_a_redirect_takes_the_message_nowhere():
    """I am told by webhook, and send the broker on: to its own metadata service."""
    async with receiving() as inside:
        moved = answering(307, f"location: {inside.url}")
        async with receiving(moved) as receiver:
            with pytest.raises(NotDelivered, match="answered 307"):
                await messenger(receiver.url).send(for_people())
        assert inside.received == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "10.0.0.7", "::ffff:127.0.0.1"])
async def test_a_name_of_mine_that_resolves_to_the_inside_is_not_spoken_to(inside):
    """My hook is at a name of my own, which I have point at what only the broker can reach."""

    async def mine(host, port):
        del host, port
        return [inside]

    async with receiving() as receiver:
        url = f"https://hooks.example.com:{receiver.port}/"
        with pytest.raises(NotDelivered, match=inside.rpartition(":")[2]):
            await messenger(url, resolve=mine).send(for_people())
        assert receiver.received == []


async def test_a_name_is_resolved_once_and_what_was_judged_is_what_is_spoken_to():
    """My name has a harmless address when it is judged, and the inside's when it is spoken to."""
    asked = []

    async def harmless(host, port):
        asked.append((host, port))
        return ["127.0.0.2"]  # nobody listens there; the system says 127.0.0.1

    async with receiving() as inside:
        with pytest.raises(NotDelivered, match="cannot be reached"):
            await messenger(inside.url, resolve=harmless).send(for_people())
        assert inside.received == []
    assert len(asked) == 1


async def test_no_proxy_of_the_environment_reads_along(monkeypatch):
    """I set a variable where the broker is started, and everything comes by me."""
    async with receiving() as mine, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{mine.port}")
        await messenger(receiver.url).send(for_people())
        assert mine.received == []
        assert len(receiver.received) == 1


@pytest.mark.parametrize("answer", [hanging, streaming, dripping])
async def test_a_receiver_that_never_ends_costs_a_deadline(answer):
    """I take the message, and say nothing, or never stop saying it."""
    began = time.monotonic()
    async with receiving(answer) as receiver:
        with contextlib.suppress(NotDelivered):
            await messenger(receiver.url).send(for_people())
    assert time.monotonic() - began < 3


async def test_a_receiver_that_hangs_keeps_no_call_and_no_other_channel_waiting(tmp_path):
    """I let the broker wait for me, so that it decides nothing meanwhile."""
    async with world(tmp_path) as w, receiving(hanging) as receiver:
        out = FakeMessenger()
        slow = messenger(receiver.url, deadline_s=30)
        told = Notifying([teller(w, slow, name="slow"), teller(w, out)])
        running = asyncio.create_task(told.run())
        async with asyncio.timeout(15):
            while not receiver.received or not out.sent:
                await waiting(w)
                await asyncio.sleep(0.05)
        running.cancel()
        async with asyncio.timeout(2):
            await asyncio.gather(running, return_exceptions=True)
        await told.close()


async def test_a_message_of_somebody_else_does_not_verify():
    """I know the receiver's address, and tell it that a call of mine was approved."""
    forged = json.dumps({"type": "invocation.ended", "data": {"state": "SUCCEEDED"}})
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(time.time())),  # noqa: TID251
        "webhook-signature": "v1,Zm9yZ2Vk",
    }
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(forged, headers)


@pytest.mark.parametrize("changed", ["id", "time", "body"])
async def test_what_was_changed_on_the_way_does_not_verify(changed):
    """I stand between, and turn a rejection into a success, or give it another name or time."""
    ended = AgentMessage(
        id="msg_2",
        event="invocation.ended",
        at=0.0,
        invocation="invocations/i",
        state="REJECTED",
        code="REJECTED",
    )
    async with receiving() as receiver:
        await messenger(receiver.url).send(ended)
    (got,) = receiver.received
    headers, body = dict(got.headers), got.body
    Webhook(SECRET).verify(body, headers)
    if changed == "id":
        headers["webhook-id"] = "msg_3"
    elif changed == "time":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    else:
        body = body.replace(b"REJECTED", b"SUCCEEDED")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


async def test_an_old_message_does_not_verify():
    """I have kept a message, and play it again an hour later."""
    an_hour_ago = time.time() - 3_600  # noqa: TID251
    async with receiving() as receiver:
        await messenger(receiver.url, clock=lambda: an_hour_ago).send(for_people())
    (got,) = receiver.received
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(got.body, got.headers)


async def test_a_message_that_is_played_again_at_once_is_known_by_its_id(tmp_path):
    """I play a message again within minutes: it verifies, and shall count once."""
    async with world(tmp_path) as w, receiving() as receiver:
        await waiting(w)
        await waiting(w)
        one = teller(w, messenger(receiver.url, clock=w.clock))
        await one.turn()
        ids = [got.headers["webhook-id"] for got in receiver.received]
        assert len(set(ids)) == len(ids) == 2


async def test_a_receiver_with_another_certificate_is_told_nothing(tmp_path):
    """I am in the network between, with a certificate of my own."""
    tls, _ = certified(tmp_path, "localhost")
    async with receiving(tls=tls) as receiver:
        with pytest.raises(NotDelivered, match="certificate"):
            await messenger(receiver.url).send(for_people())
        assert receiver.received == []


async def test_no_secret_is_in_a_log_a_status_or_a_problem(tmp_path, capsys):
    """I read the operator's log and status, for what signs and what signs in."""
    log.configure(level="debug")
    try:
        with serving_mail() as server:
            async with world(tmp_path) as w, receiving(answering(500)) as receiver:
                url = f"{receiver.url}?token=in-the-url"
                account = MailAccount(
                    host=server.host,
                    port=server.port,
                    security="none",
                    sender=SENDER,
                    recipients=("lead@example.com",),
                    user=USER,
                    password=f"wrong {PASSWORD}",
                )
                hook = messenger(url, secrets=(SECRET, NEXT_SECRET))
                tellers = [
                    teller(w, hook, name="hook", target="http://localhost"),
                    teller(w, MailMessenger(account), name="post", target="by mail"),
                ]
                await waiting(w)
                said = ""
                for one in tellers:
                    await one.turn()
                    said += repr(await one.view())
                said += repr(account)
        printed = capsys.readouterr()
        said += printed.out + printed.err
        assert "answered 500" in said
        assert "answered 535" in said
        for secret in (SECRET[6:], NEXT_SECRET[6:], PASSWORD, "in-the-url"):
            assert secret not in said
    finally:
        logging.getLogger().handlers[:] = []


async def test_thousands_of_holds_at_once_are_one_mail_and_one_message(tmp_path):
    """I have every call held, so that nobody finds the one that matters in their mail."""
    async with world(tmp_path) as w:
        session = await opened(w.store)
        for _ in range(10):
            changes = []
            for _ in range(200):
                call = invocation(session, InvocationState.HELD)
                changes += [AddInvocation(invocation=call), AddHold(hold=stored_hold(call))]
            await w.store.commit(unit(*changes))
        mails, hooks = FakeMessenger(), FakeMessenger()
        post = teller(w, mails, name="post", together_above=0, interval_s=60)
        await post.turn()
        hook = teller(w, hooks, events=(NoticeEvent.HOLD_OPENED,))
        await hook.turn()
        assert [(m.count, len(m.waiting)) for m in mails.sent] == [(2_000, 20)]
        assert [(m.count, len(m.waiting)) for m in hooks.sent] == [(2_000, 20)]
        assert len(json.dumps(document(hooks.sent[0]))) < 8_192
        await post.turn()
        assert len(mails.sent) == 1
        assert (await hook.view()).tally.due == 0


async def test_a_link_does_nothing_but_open_the_page(tmp_path):
    """I send the reviewer's mail through a scanner that follows each link in it."""
    async with world(tmp_path) as w:
        out = FakeMessenger()
        held = await waiting(w)
        await teller(w, out).turn()
        (message,) = out.sent
        links = {message.link, *(one.link for one in message.waiting)}
        assert links == {
            "https://review.example.com/",
            f"https://review.example.com/{held.name}",
        }

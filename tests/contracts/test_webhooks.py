"""Webhooks as a real receiver over a real socket gets them, checked by Standard Webhooks."""

import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from broker.notices.webhook import WebhookMessenger
from broker.ports.notifying import NotDelivered
from tests.notice_receiver import (
    NEXT_SECRET,
    SECRET,
    answering,
    certified,
    for_an_agent,
    for_people,
    receiving,
)


def messenger(url, **changes):
    given = {
        "secrets": (SECRET,),
        "clock": time.time,  # noqa: TID251 - receivers live by the wall clock
        "deadline_s": 3.0,
        **changes,
    }
    return WebhookMessenger(url, **given)


async def test_it_is_signed_so_that_standard_webhooks_accepts_it():
    async with receiving() as receiver:
        await messenger(receiver.url).send(for_people())
    (got,) = receiver.received
    assert got.line == "POST /hooks/1 HTTP/1.1"
    assert got.headers["host"] == f"localhost:{receiver.port}"
    assert Webhook(SECRET).verify(got.body, got.headers) == {
        "type": "hold.opened",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "hold": "holds/h-1",
            "tool": "refund",
            "codes": ["LARGE"],
            "age_s": 3,
            "link": "https://review.example.com/holds/h-1",
        },
    }


async def test_many_are_told_with_their_count_and_the_queue():
    several = for_people(event="holds.waiting", count=7)
    async with receiving() as receiver:
        await messenger(receiver.url).send(several)
    data = json.loads(receiver.received[0].body)["data"]
    assert (data["count"], data["link"]) == (7, "https://review.example.com/")
    assert [one["tool"] for one in data["holds"]] == ["refund"]


async def test_the_agents_side_gets_name_state_and_code_and_no_more():
    async with receiving() as receiver:
        await messenger(receiver.url).send(for_an_agent())
    told = json.loads(receiver.received[0].body)
    assert told["data"] == {"invocation": "invocations/i-1", "state": "SUCCEEDED", "code": ""}


async def test_while_a_secret_is_changed_both_accept_it():
    async with receiving() as receiver:
        await messenger(receiver.url, secrets=(NEXT_SECRET, SECRET)).send(for_people())
    (got,) = receiver.received
    for secret in (SECRET, NEXT_SECRET):
        Webhook(secret).verify(got.body, got.headers)


async def test_another_secret_does_not_accept_it():
    async with receiving() as receiver:
        await messenger(receiver.url).send(for_people())
    (got,) = receiver.received
    with pytest.raises(WebhookVerificationError):
        Webhook(NEXT_SECRET).verify(got.body, got.headers)


@pytest.mark.parametrize(
    ("status", "is_channel", "is_final"),
    [
        (500, True, False),
        (429, True, False),
        (302, True, False),
        (401, True, False),
        (410, True, True),
        (400, False, False),
    ],
)
async def test_any_other_answer_is_no_delivery(status, is_channel, is_final):
    async with receiving(answering(status)) as receiver:
        with pytest.raises(NotDelivered, match=f"answered {status}") as refused:
            await messenger(receiver.url).send(for_people())
    assert (refused.value.is_channel, refused.value.is_final) == (is_channel, is_final)


async def test_over_tls_the_name_of_the_url_is_what_is_certified(tmp_path):
    tls, ca_file = certified(tmp_path, "localhost")
    async with receiving(tls=tls) as receiver:
        await messenger(receiver.url, ca_file=ca_file).send(for_people())
    assert len(receiver.received) == 1


async def test_a_certificate_of_another_name_is_told_nothing(tmp_path):
    tls, ca_file = certified(tmp_path, "elsewhere.example.com")
    async with receiving(tls=tls) as receiver:
        with pytest.raises(NotDelivered, match="certificate"):
            await messenger(receiver.url, ca_file=ca_file).send(for_people())
    assert receiver.received == []


async def test_a_certificate_of_nobody_is_told_nothing(tmp_path):
    tls, _ = certified(tmp_path, "localhost")
    async with receiving(tls=tls) as receiver:
        with pytest.raises(NotDelivered, match="certificate"):
            await messenger(receiver.url).send(for_people())
    assert receiver.received == []


async def test_where_one_address_is_away_the_next_one_is_asked():
    async def both(host, port):
        del host, port
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first one

    async with receiving() as receiver:
        await messenger(receiver.url, resolve=both).send(for_people())
    assert len(receiver.received) == 1


async def test_nobody_there_is_told_in_our_words():
    async with receiving() as receiver:
        url = receiver.url
    with pytest.raises(NotDelivered, match="it cannot be reached"):
        await messenger(url).send(for_people())

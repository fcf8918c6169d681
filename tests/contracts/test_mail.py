"""Mails as a real SMTP server takes them in."""

import pytest

from broker.core.notices import Waiting
from broker.notices.mail import MailAccount, MailMessenger
from broker.ports.notifying import NotDelivered
from tests.browser.mail_server import PASSWORD, USER, serving_mail
from tests.notice_receiver import for_an_agent, for_people, receiving

SENDER = "callbroker@shop.example.com"
LEADS = ("lead@shop.example.com", "deputy@shop.example.com")


@pytest.fixture
def server():
    with serving_mail() as serving:
        yield serving


def messenger(server, **changes):
    given = {
        "host": server.host,
        "port": server.port,
        "security": "none",
        "sender": SENDER,
        "recipients": LEADS,
        "user": USER,
        "password": PASSWORD,
        **changes,
    }
    return MailMessenger(MailAccount(**given), deadline_s=5.0)


async def test_a_call_that_waits_is_a_short_letter_with_a_link(server):
    await messenger(server).send(for_people())
    (letter,) = server.letters
    assert (letter.sender, letter.recipients) == (SENDER, LEADS)
    assert letter.message["subject"] == "refund waits (LARGE)"
    assert letter.message["auto-submitted"] == "auto-generated"
    assert letter.message["message-id"] == "<msg_1@shop.example.com>"
    assert letter.text == (
        "This call waits for a person:\n"
        "\n"
        "  refund   LARGE   waits 3 s\n"
        "  https://review.example.com/holds/h-1\n"
        "\n"
        "All that waits: https://review.example.com/\n"
        "\n"
        "Nothing runs before somebody approves it on the page. Replies are not read.\n"
    )


async def test_a_reminder_says_so(server):
    await messenger(server).send(for_people(event="hold.reminder"))
    assert server.letters[0].message["subject"] == "refund still waits (LARGE)"


async def test_many_are_one_letter(server):
    first = for_people().waiting[0]
    several = for_people(event="holds.waiting", count=10_000, waiting=(first,) * 20)
    await messenger(server).send(several)
    (letter,) = server.letters
    assert letter.message["subject"] == "10000 calls wait for a person"
    assert "and 9980 more" in letter.text


async def test_what_the_server_refuses_is_told_by_its_number_alone(server):
    server.refusing = "451 4.3.0 Later, and your password was seen."
    with pytest.raises(NotDelivered) as refused:
        await messenger(server).send(for_people())
    assert refused.value.problem == "answered 451"


async def test_a_wrong_password_is_refused_and_not_told(server):
    with pytest.raises(NotDelivered) as refused:
        await messenger(server, password="not-" + PASSWORD).send(for_people())
    assert refused.value.problem == "answered 535"
    assert server.letters == []


async def test_where_tls_is_asked_for_nothing_is_sent_without_it(server):
    with pytest.raises(NotDelivered):
        await messenger(server, security="starttls").send(for_people())
    assert server.letters == []


async def test_a_server_that_hangs_is_left():
    async with receiving() as receiver:  # it waits for a request, and greets nobody
        account = MailAccount(
            host="127.0.0.1",
            port=receiver.port,
            security="none",
            sender=SENDER,
            recipients=LEADS,
        )
        with pytest.raises(NotDelivered, match="no answer within"):
            await MailMessenger(account, deadline_s=0.2).send(for_people())


async def test_nobody_there_is_told_in_our_words():
    with serving_mail() as gone:
        pass
    with pytest.raises(NotDelivered, match="not taken in"):
        await messenger(gone).send(for_people())


async def test_the_agents_side_gets_no_mail(server):
    with pytest.raises(NotDelivered) as refused:
        await messenger(server).send(for_an_agent())
    assert refused.value.is_final


async def test_a_letter_says_its_codes_and_ages_whatever_they_are(server):
    one = Waiting(hold="holds/h", tool="mail", codes=("A", "B"), age_s=90_000, link="")
    await messenger(server).send(for_people(waiting=(one,), link=""))
    assert "  mail   A, B   waits 25 h\n" in server.letters[0].text

"""A run's shares run out, and bytes pass at a rate."""

import pytest

from sandboxes.egress.budget import BURST_S, Budget
from sandboxes.egress.journal import Journal, printable
from sandboxes.egress.refusals import EgressRefused
from sandboxes.profile import Egress


def budget(**given) -> Budget:
    return Budget(Egress(rules=(), **given))


def test_a_share_that_is_used_up_is_refused_and_the_rest_stays():
    left = budget(requests_max=1, sent_bytes_max=10, received_bytes_max=10)
    left.take_request()
    left.take_sent(4)
    left.take_received(10)
    for take, code in (
        (left.take_request, "EGRESS_TOO_MANY"),
        (lambda: left.take_sent(7), "EGRESS_SENT_TOO_MUCH"),
        (lambda: left.take_received(1), "EGRESS_RECEIVED_TOO_MUCH"),
    ):
        with pytest.raises(EgressRefused) as refused:
            take()
        assert refused.value.code == code
    left.take_sent(6)


def test_bytes_wait_once_the_burst_is_used():
    left = budget(bytes_per_s=1000)
    assert left.wait_s(int(1000 * BURST_S), now_s=100.0) == 0
    assert left.wait_s(500, now_s=100.0) == pytest.approx(0.5)
    assert left.wait_s(500, now_s=100.5) == pytest.approx(0.5)


def test_idle_time_saves_up_no_more_than_the_burst():
    left = budget(bytes_per_s=1000)
    left.wait_s(1, now_s=0.0)
    assert left.wait_s(1000, now_s=1000.0) == pytest.approx(1 - BURST_S)


def test_a_journal_keeps_the_order_and_says_where_it_stopped():
    journal = Journal(1)
    first = journal.begin(1.0)
    journal.begin(2.0).note(code="LOST")
    first.note(host="a\x1b[31m\u202e")
    assert journal.is_cut
    journal.make_room(1)
    journal.begin(3.0)
    assert [(each.at, each.host) for each in journal.requests] == [
        (1.0, "a\\x1b[31m\\u202e"),
        (3.0, ""),
    ]


def test_what_is_noted_is_short_and_printable():
    assert len(printable("\n" * 5000)) <= 512
    assert printable("a\r\nb") == "a\\r\\nb"

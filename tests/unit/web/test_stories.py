"""The story of one call, in order, and why it went so."""

import re
from pathlib import Path

from broker.core.errors import PolicyUnavailable
from tests.fakes.decision_point import deny, hold, opinion
from tests.looked_back import Explainer, erase, read, refunded, story_of
from tests.pages import LEAD, Site


async def test_a_story_tells_all_that_happened_in_order(s: Site):
    held = await s.waiting(amount_minor=1_000)
    waiting = (await s.world.store.find_hold(held.name))[0]
    await s.world.handling.take(LEAD, held.name)
    await s.world.reviews.approve(LEAD, held.name, etag=waiting.etag + 1, reason="Looked at it.")
    shown = await read(s, f"/{held.invocation}")
    titles = re.findall(r'<p class="title">([^<]+?)(?: <span|</p>)', shown)
    assert titles == [
        "Asked for",
        "Stopped for a person",
        "Held: it waits for a person",
        "Taken by a reviewer",
        "Approved",
        "The approval was used",
        "Allowed again",
        "Handed to the tool, attempt 1",
        "The tool ran and answered",
    ]
    for told in ("Looked at it.", "LARGE", "lifted by the approval", "r-1", held.call_digest):
        assert told in shown
    assert "EUR 10.00" in shown


async def test_a_story_of_a_refusal_says_why(s: Site):
    s.world.policy.answer = opinion(deny("NOT_THAT"))
    call = await refunded(s)
    shown = await read(s, story_of(call))
    assert "NOT_THAT" in shown
    assert "Denied" in shown


async def test_a_story_whose_contents_are_erased_says_so(s: Site, tmp_path: Path):
    call = await refunded(s, reason="Something private.")
    erase(tmp_path)
    shown = await read(s, story_of(call))
    assert "is erased" in shown
    assert "sha256:" in shown


async def test_why_is_worked_out_when_it_is_asked_for_and_only_once(s: Site):
    explainer = Explainer()
    s.parts.records.looking.explaining._explainer = explainer
    s.world.policy.answer = opinion(hold("LARGE"))
    call = await refunded(s)
    assert explainer.asked == 0
    assert "test.rego:31" not in await read(s, story_of(call))
    for _ in range(2):
        shown = await read(s, story_of(call), explain="1")
        assert "test.rego:31" in shown
        assert "55.00 &gt; 50.00" in shown
        assert "ALLOW if /amount_minor were at most EUR 50.00, or with that approval." in shown
    assert explainer.asked == 1


async def test_why_is_not_told_from_memory_once_it_is_erased(s: Site, tmp_path: Path):
    s.parts.records.looking.explaining._explainer = Explainer()
    s.world.policy.answer = opinion(hold("LARGE"))
    call = await refunded(s)
    assert "test.rego:31" in await read(s, story_of(call), explain="1")
    erase(tmp_path)
    shown = await read(s, story_of(call), explain="1")
    assert "test.rego:31" not in shown
    assert "What policy was asked about this call is erased." in shown


async def test_that_nobody_can_say_why_is_said(s: Site):
    explainer = Explainer()
    explainer.error = PolicyUnavailable("The explanation was not done in time.")
    s.parts.records.looking.explaining._explainer = explainer
    call = await refunded(s)
    assert "not done in time" in await read(s, story_of(call), explain="1")

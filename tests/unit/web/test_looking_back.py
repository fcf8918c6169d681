"""What was: decided holds, calls, sessions, agents, policy, the log. Nothing acts on them."""

import contextlib
import dataclasses
import json
import re
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from broker.core.audit import EntryKind
from broker.core.calls import Context, Invocation
from broker.core.canonical import canonical_bytes
from broker.core.errors import PolicyUnavailable
from broker.core.freezes import FreezeKind
from broker.core.labels import WORST
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.manifest import ToolManifest
from broker.core.unit import AddDocument, AddHold, AddInvocation, AddReview, AddSighting, Unit
from tests.fakes.decision_point import REVISION, deny, hold, opinion
from tests.pages import LEAD, Site, site
from tests.store_values import hold as stored_hold
from tests.store_values import invocation as stored_call
from tests.store_values import review as stored_review
from tests.world import AGENT

HOSTILE = "<script>alert(1)</script>\u202e\u200b\"'&{{7*7}}"
LISTS = ("/history", "/sessions", "/agents", "/policy", "/audit", "/quality")


class Explainer:
    """Says what it is told to; implements `ports.Explainer`."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def explain(self, kept: bytes, question: Any, *, revision: str, money: Any) -> Any:
        del kept, question, money
        self.asked += 1
        if self.error is not None:
            raise self.error
        place = {"file": "broker/rules/test/test.rego", "line": 31}
        spoken = {
            "family": "test",
            "effect": "HOLD",
            "code": "LARGE",
            "message": "m",
            "place": place,
            "conditions": [{**place, "source": "s", "values": "55.00 > 50.00", "held": True}],
        }
        change = {
            "pointer": "/call/arguments/amount_minor",
            "value": 1,
            "otherwise": False,
            "lowest": None,
            "highest": 5_000,
        }
        return {
            "policy_revision": revision,
            "effect": "HOLD",
            "spoken": [spoken],
            "silent": ["hours"],
            "allowed_if": [{"changes": [change], "effect": "ALLOW"}],
            "removals": [],
            "scales": [],
            "problem": "",
            "money": {"/call/arguments/amount_minor": "EUR"},
            "passed": [],
        }


@pytest.fixture
async def s(tmp_path: Path) -> AsyncGenerator[Site]:
    async with site(tmp_path, explainer=Explainer()) as opened:
        yield opened


async def read(s: Site, path: str, **query: str) -> str:
    """A page as a reviewer gets it."""
    async with await s.signed_in() as browser:
        answer = await browser.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.text


def story_of(call: Invocation) -> str:
    return f"/{call.name}"


async def refunded(s: Site, words: tuple[str, ...] = ("Please.",), **arguments: Any) -> Invocation:
    """A call of an agent that says what it likes."""
    caller = await s.world.caller(words=words)
    given = {"order_id": "O-1001", "amount_minor": 1_000, "currency": "EUR", **arguments}
    s.world.requests += 1
    return await s.world.enforcer.invoke(
        caller,
        request_id=f"r{s.world.requests}",
        tool="refund",
        arguments_json=json.dumps(given).encode(),
    )


async def decided(s: Site, count: int, *, state: HoldState = HoldState.REJECTED) -> list[Any]:
    """So many holds that were decided, oldest first."""
    caller = await s.world.caller()
    call = stored_call(caller.session, InvocationState.REJECTED)
    call = dataclasses.replace(call, name=f"invocations/{s.world.ids()}")
    changes: list[Any] = [AddInvocation(invocation=call)]
    made = []
    for number in range(count):
        name = f"holds/{s.world.ids()}"
        one = stored_hold(call, name=name, state=state, summary=f"Refund number {number}.")
        changes += [AddHold(hold=one), AddReview(review=stored_review(one, "lead-1"))]
        made.append(one)
    await s.world.store.commit(Unit(changes=tuple(changes), entries=()))
    return made


@pytest.mark.parametrize("path", LISTS)
async def test_a_broker_where_nothing_happened_yet_has_its_pages(s: Site, path: str):
    shown = await read(s, path)
    assert "<h1>" in shown


@pytest.mark.parametrize("path", [*LISTS, "/sessions/x", "/invocations/x"])
async def test_nobody_looks_back_without_a_sign_in(s: Site, path: str):
    async with s.browser() as browser:
        answer = await browser.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].partition("?")[0] == "/sign-in"


@pytest.mark.parametrize("path", ["/sessions/x", "/invocations/x", "/invocations/x?explain=1"])
async def test_what_is_not_there_is_no_page(s: Site, path: str):
    async with await s.signed_in() as browser:
        assert (await browser.get(path)).status_code == 404


@pytest.mark.parametrize("path", LISTS)
async def test_nothing_there_takes_a_post(s: Site, path: str):
    async with await s.signed_in() as browser:
        assert (await browser.post(path)).status_code in {404, 405}


async def test_no_page_changes_anything(s: Site):
    held = await s.waiting()
    paths = [*LISTS, f"/{held.session}", f"/{held.invocation}", f"/{held.invocation}?explain=1"]
    async with await s.signed_in() as browser:
        before = await s.world.store.counts(), await s.world.store.control()
        for path in paths:
            assert (await browser.get(path)).status_code == 200
        assert (await s.world.store.counts(), await s.world.store.control()) == before
    assert (await s.world.store.find_hold(held.name))[0] == held


async def test_what_anybody_wrote_is_text_on_every_page(s: Site):
    s.world.policy.answer = opinion(hold("LARGE"))
    call = await refunded(s, (HOSTILE, f"also {HOSTILE}"), reason=HOSTILE)
    nasty = dataclasses.replace(LEAD, name=HOSTILE)
    await s.world.reviews.reject(nasty, call.hold, etag=1, reason=f"No. {HOSTILE}")
    await s.world.freeze(FreezeKind.PRINCIPAL, HOSTILE)
    pages = [*LISTS, f"/{call.session}", f"/{call.name}", f"/{call.name}?explain=1"]
    told = ""
    for path in pages:
        shown = await read(s, path)
        assert "<script>alert" not in shown, path
        assert "\u202e" not in shown, path
        assert "\u200b" not in shown, path
        told += shown
    assert told.count("&lt;script&gt;alert(1)") > 8
    assert "49" not in re.findall(r"&amp;[^ ]*", told)


async def test_a_filter_that_is_hostile_comes_back_as_text(s: Site):
    query = {"tool": HOSTILE, "principal": HOSTILE, "agent": HOSTILE, "state": HOSTILE}
    shown = await read(s, "/history", **query, before=HOSTILE)
    assert "<script>alert" not in shown
    assert "\u202e" not in shown
    assert "Nothing that was decided is like that." in shown


async def test_history_is_browsed_page_by_page_to_its_end(s: Site):
    made = await decided(s, 120)
    seen: list[str] = []
    path: str | None = "/history"
    async with await s.signed_in() as browser:
        while path:
            shown = (await browser.get(path)).text
            seen += re.findall(r"Refund number ([0-9]+)\.", shown)
            following = re.search(r'rel="next" href="([^"]+)"', shown)
            path = following[1].replace("&amp;", "&") if following else None
    assert seen == [str(number) for number in reversed(range(len(made)))]


async def test_history_is_filtered_and_older_pages_keep_the_filter(s: Site):
    await decided(s, 60)
    await decided(s, 1, state=HoldState.EXPIRED)
    shown = await read(s, "/history", state="REJECTED", tool="refund")
    assert shown.count("Whole story") == 50
    assert "Expired</span>" not in shown
    following = re.search(r'rel="next" href="([^"]+)"', shown)
    assert following is not None
    assert "state=REJECTED" in following[1]
    assert "tool=refund" in following[1]
    assert (await read(s, "/history", state="EXPIRED")).count("Whole story") == 1
    assert (await read(s, "/history", tool="other")).count("Whole story") == 0
    assert (await read(s, "/history", state="PENDING")).count("Whole story") == 50


async def test_what_still_waits_is_no_history(s: Site):
    await s.waiting()
    assert "Nothing was decided yet." in await read(s, "/history")


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


async def test_a_session_is_the_sequence_of_its_calls(s: Site):
    caller = await s.world.caller(context=Context.MEDIATED)
    calls = [await s.world.refund(caller) for _ in range(3)]
    sighting = AddSighting(
        session=caller.session.name, invocation=calls[1].name, labels=WORST, content=b'"x"'
    )
    await s.world.store.commit(Unit(changes=(sighting,), entries=()))
    shown = await read(s, f"/{caller.session.name}")
    places = [shown.index(call.name) for call in calls]
    assert places == sorted(places)
    assert shown.count("Untrusted from here on") == 1
    assert places[1] < shown.index("Untrusted from here on") < places[2]
    assert "My lamp arrived broken." in shown
    assert "read untrusted" in await read(s, "/sessions")


async def test_a_long_session_is_paged_and_says_that_it_has_read_untrusted_before(s: Site):
    caller = await s.world.caller()
    first = await s.world.refund(caller, amount_minor=1)
    sighting = AddSighting(
        session=caller.session.name, invocation=first.name, labels=WORST, content=b'"x"'
    )
    await s.world.store.commit(Unit(changes=(sighting,), entries=()))
    for _ in range(60):
        await s.world.refund(caller, amount_minor=1)
    shown = await read(s, f"/{caller.session.name}")
    assert shown.count('class="moment') == 50
    assert "Before these calls the model has read" in shown
    earlier = re.search(r'rel="next" href="([^"]+)"', shown)
    assert earlier is not None
    before = await read(s, earlier[1])
    assert before.count('class="moment') == 11
    assert "Untrusted from here on" in before


async def test_sessions_are_browsed_to_the_first(s: Site):
    made = [(await s.world.caller()).session.name for _ in range(55)]
    shown = await read(s, "/sessions")
    following = re.search(r'rel="next" href="([^"]+)"', shown)
    assert following is not None
    rest = await read(s, following[1])
    names = re.findall(r'href="/(sessions/[0-9a-f-]+)"', shown + rest)
    assert names == list(reversed(made))


async def test_agents_are_shown_with_what_stops_them(s: Site):
    await refunded(s)
    await s.world.freeze(FreezeKind.AGENT, AGENT)
    shown = await read(s, "/agents")
    assert shown.count(">frozen<") == 2
    assert "callbroker unfreeze f-" in shown
    assert f"callbroker freeze agent {AGENT} --reason" in shown
    assert "local#agent-owner" in shown


async def test_policy_and_tools_in_force_are_shown_with_those_before(s: Site):
    first = s.world.room.current().tools["refund"].manifest
    document = AddDocument(digest=first.revision, kind="tool", at=1.0, body=_body(first))
    await s.world.store.commit(Unit(changes=(document,), entries=()))
    await s.world.put_tool(description="Another way.")
    shown = await read(s, "/policy")
    assert f'title="{REVISION}"' in shown
    assert "Another way." in shown
    assert f'title="{first.revision}"' in shown


async def test_the_log_is_browsed_and_its_head_is_shown(s: Site):
    for _ in range(30):
        await refunded(s)
    await s.world.store.checkpoint_now()
    shown = await read(s, "/audit")
    assert "signature good" in shown
    assert EntryKind.CALL_DECIDED in shown
    following = re.search(r'rel="next" href="([^"]+)"', shown)
    assert following is not None
    older = await read(s, following[1])
    leaves = [int(leaf) for leaf in re.findall(r'data-label="Leaf">([0-9]+)<', shown + older)]
    assert leaves == list(range(leaves[0], leaves[-1] - 1, -1))
    assert len(leaves) == 100
    assert 'class="number"' in await read(s, "/audit", before="no number")


async def test_figures_count_who_approved_what_and_who_hardly_looked(s: Site):
    quick = await s.waiting()
    await s.world.reviews.approve(LEAD, quick.name, etag=quick.etag)
    slow = await s.waiting(order_id="O-1002")
    s.world.clock.advance(120)
    await s.world.reviews.reject(LEAD, slow.name, etag=slow.etag, reason="No.")
    shown = await read(s, "/quality", days="30")
    assert "the last 30 days" in shown
    row = re.search(r"<code>LARGE</code>.*?</tr>", shown, re.DOTALL)
    assert row is not None
    assert re.findall(r">([0-9]+)</td>", row[0]) == ["2", "1", "1", "0", "1"]
    assert "50 %" in row[0]
    assert "2 min" in row[0]
    assert "local#lead" in shown
    assert "style=" not in shown


async def test_pages_carry_no_style_and_no_script_of_their_own(s: Site):
    call = await refunded(s)
    for path in [*LISTS, story_of(call), f"/{call.session}"]:
        shown = await read(s, path)
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", shown), path
        assert not re.search(r"<script(?![^>]* src=)", shown), path
        assert "<style" not in shown


def erase(path: Path) -> None:
    """What entries commit to goes, as an operator's erasure takes it."""
    with contextlib.closing(sqlite3.connect(path / "broker.db")) as database, database:
        database.execute("DELETE FROM audit_contents")


def _body(manifest: ToolManifest) -> bytes:
    return canonical_bytes(dict(manifest.document))

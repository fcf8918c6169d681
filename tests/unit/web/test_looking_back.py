"""What was: decided holds, calls, sessions, agents, policy, the log. Nothing acts on them."""

import dataclasses
import re

import pytest

from broker.core.audit import EntryKind
from broker.core.calls import Context
from broker.core.canonical import canonical_bytes
from broker.core.freezes import FreezeKind
from broker.core.labels import WORST
from broker.core.lifecycle import HoldState
from broker.core.manifest import ToolManifest
from broker.core.unit import AddDocument, AddSighting, Unit
from tests.fakes.decision_point import REVISION, hold, opinion
from tests.looked_back import HOSTILE, LISTS, decided, read, refunded, story_of
from tests.pages import LEAD, Site
from tests.world import AGENT


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


@pytest.mark.parametrize(
    ("run_by", "told"), [(0.0, "not decided in time"), (60.0, "not used in time")]
)
async def test_history_says_what_was_not_done_in_time(s: Site, run_by: float, told: str):
    await decided(s, 1, state=HoldState.EXPIRED, run_by=run_by)
    shown = await read(s, "/history")
    assert f'<span class="under">{told}</span>' in shown
    assert re.search(r'approved by <span class="word">[^\n]*lead-1', shown)


async def test_history_says_who_took_a_call_back(s: Site):
    held = await s.waiting()
    assert "by <span" not in await read(s, "/history")
    await s.world.invocations.withdraw(held.name, actor=AGENT)
    shown = await read(s, "/history")
    row = shown[shown.index("Withdrawn</span>") :]
    assert re.search(rf'by <span class="word">[^\n]*{AGENT}', row)


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


def _body(manifest: ToolManifest) -> bytes:
    return canonical_bytes(dict(manifest.document))

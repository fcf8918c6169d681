"""The harness itself: whatever a browser complains of fails a test; post and webhooks are kept."""

import re
import smtplib
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image
from standardwebhooks import Webhook, WebhookVerificationError

from broker.app import system_clock
from tests.browser.accessibility import assert_accessible, violations
from tests.browser.mail_server import PASSWORD as MAIL_PASSWORD
from tests.browser.mail_server import USER as MAIL_USER
from tests.browser.mail_server import MailServer
from tests.browser.pictures import BYTES_MAX, take_picture
from tests.browser.visiting import PATIENCE_MS, PHONE, Visitor, first_paint_ms
from tests.browser.webhook_receiver import SECRET, WebhookReceiver, serving

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEAD = '<!doctype html><html lang="en"><head><title>Trial</title><link rel="icon" href="/icon.svg">'
GOOD = f'{HEAD}<link rel="stylesheet" href="/page.css"></head><body><main><h1>Trial</h1></main>'
NOT_FOUND = ("text/html", f"{HEAD}</head><body>Not here</body></html>")
STYLE = """h1 { color: black } .pale { color: #ddd }
.s { display: inline-block; width: 9px; height: 9px }"""
DARK = "html { background: black } h1 { color: white }"
ANSWERS = {
    "/": ("text/html", f'{GOOD}<script src="/page.js"></script></body></html>'),
    "/page.js": ("text/javascript", "document.querySelector('h1').textContent = 'It runs';"),
    "/page.css": ("text/css", f"{STYLE} @media (prefers-color-scheme: dark) {{ {DARK} }}"),
    "/icon.svg": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "/inline": ("text/html", f"{GOOD}<script>document.title = 'inline'</script></body></html>"),
    "/throws": ("text/html", f'{GOOD}<script src="/throws.js"></script></body></html>'),
    "/throws.js": ("text/javascript", "throw new Error('a lamp broke')"),
    "/pale": ("text/html", f'{GOOD}<p class="pale">Faint</p><img src="/icon.svg"></body></html>'),
    "/small": ("text/html", f'{GOOD}<a class="s" href="/">a</a><a class="s" href="/">b</a></body>'),
}  # fmt: skip


class Trial(BaseHTTPRequestHandler):
    """Pages of a few lines, as strict as those of the broker."""

    def do_GET(self) -> None:
        kind, text = ANSWERS.get(self.path, NOT_FOUND)
        body = text.encode()
        self.send_response(200 if self.path in ANSWERS else 404)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", STRICT)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A test has nothing to say to the console."""


@pytest.fixture(scope="module")
def trial() -> Iterator[str]:
    with serving(Trial) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_strict_page_runs_and_everybody_can_use_it(visitor: Visitor, trial: str, theme) -> None:
    visitor.base_url = trial
    with visitor.page(theme=theme) as page:
        page.goto("/")

        assert page.get_by_role("heading").inner_text() == "It runs"
        assert 0 < first_paint_ms(page) < PATIENCE_MS
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (
            theme == "dark"
        )
        assert_accessible(page)


def test_a_page_is_seen_on_a_phone_and_without_scripts(visitor: Visitor, trial: str) -> None:
    with visitor.page(screen=PHONE, scripts=False) as page:
        page.goto(trial)

        assert page.viewport_size == {"width": 390, "height": 844}
        assert page.get_by_role("heading").inner_text() == "Trial"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/inline", "console: .*Content Security Policy"),
        ("/throws", "script: .*a lamp broke"),
        ("/no-such-page", "answer: 404 GET"),
    ],
)
def test_what_a_browser_complains_of_fails_a_test(
    visitor: Visitor, trial: str, path: str, said: str
) -> None:
    with visitor.page() as page:
        page.goto(trial + path)
    complaint = "\n".join(visitor.problems)

    assert re.search(said, complaint), complaint
    with pytest.raises(AssertionError):
        visitor.assert_nothing_went_wrong()
    visitor.expect(".")


def test_a_request_that_nobody_answers_fails_a_test(visitor: Visitor, trial: str) -> None:
    with visitor.page() as page:
        page.goto(trial)
        page.route("**/gone", lambda route: route.abort("connectionrefused"))
        page.evaluate("fetch('/gone').catch(() => null)")

    assert any(p.startswith("request: net::ERR_CONNECTION_REFUSED") for p in visitor.problems)
    visitor.expect("/gone|ERR_CONNECTION_REFUSED")


@pytest.mark.parametrize(
    ("path", "rules"), [("/pale", {"color-contrast", "image-alt"}), ("/small", {"target-size"})]
)
def test_what_not_everybody_can_use_is_found_under_a_strict_policy(
    visitor: Visitor, trial: str, path: str, rules: set[str]
) -> None:
    with visitor.page() as page:
        page.goto(trial + path)

        assert {broken["id"] for broken in violations(page)} >= rules
        with pytest.raises(AssertionError, match=next(iter(rules))):
            assert_accessible(page)


def test_pages_are_set_in_the_typefaces_of_the_pictures(visitor: Visitor, trial: str) -> None:
    width = """family => { const c = document.createElement('canvas').getContext('2d');
        c.font = `40px ${family}`; return c.measureText('Refund EUR 55.00 @ Wgmi').width }"""
    with visitor.page() as page:
        page.goto(trial)

        assert page.evaluate(width, "system-ui") == page.evaluate(width, "Inter, serif")
        assert page.evaluate(width, "monospace") == page.evaluate(width, "'JetBrains Mono', serif")


def test_a_picture_is_small_and_as_large_as_the_screen(
    visitor: Visitor, trial: str, tmp_path: Path
) -> None:
    kept = tmp_path / "pictures" / "trial.png"
    with visitor.page(screen=PHONE) as page:
        page.goto(trial)
        size = take_picture(page, kept)

    assert size == kept.stat().st_size < BYTES_MAX
    with Image.open(kept) as picture:
        assert (picture.size, picture.mode) == ((PHONE.width, PHONE.height), "P")


def test_letters_are_taken_in_from_who_may_send_them(mail_server: MailServer) -> None:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "broker@example.org", "a@example.org", "Höld"
    letter.set_content("It waits.\n")
    with smtplib.SMTP(mail_server.host, mail_server.port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPDataError):
            client.send_message(letter)
        client.login(MAIL_USER, MAIL_PASSWORD)
        client.send_message(letter)
    [came] = mail_server.wait_for()

    assert (came.recipients, came.text) == (("a@example.org",), "It waits.\n")
    assert came.message["Subject"] == "Höld"


def test_a_delivery_is_kept_and_its_signature_checked(webhooks: WebhookReceiver) -> None:
    at, body = datetime.fromtimestamp(system_clock(), UTC), '{"kind":"hold"}'
    headers = {
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("m-1", at, body),
    }
    with urllib.request.urlopen(
        urllib.request.Request(webhooks.url, data=body.encode(), headers=headers), timeout=10
    ) as answer:
        assert answer.status == 204
    [came] = webhooks.wait_for()

    assert came.verified() == {"kind": "hold"}
    with pytest.raises(WebhookVerificationError):
        came.verified("whsec_" + "b3RoZXI=")

"""Channels as settings name them; a mistake is told before the start, and no secret with it."""

from pathlib import Path

import pytest

from broker.config import ConfigurationRefused, load
from broker.core.notices import NoticeEvent
from broker.notices import check_channel, open_channels
from tests.notice_receiver import NEXT_SECRET, SECRET

CHAT = """
[[notify]]
kind = "webhook"
name = "chat"
url = "https://chat.example.com/hooks/hidden?token=hidden"
secret_file = "chat.secret"
groups = ["leads"]
"""
POST = """
[[notify]]
kind = "mail"
name = "post"
smtp = "mail.example.com:587"
from = "callbroker@example.com"
to = ["lead@example.com"]
user = "callbroker"
password_file = "post.password"
"""
SHOP = """
[[notify]]
kind = "agent_webhook"
name = "shop"
url = "http://127.0.0.1:8080/hooks"
secret_file = "chat.secret"
agents = ["agents/support-assistant"]
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch):
    """Reads settings from a file in `tmp_path`, beside which the secrets are."""
    (tmp_path / "chat.secret").write_text(f"{NEXT_SECRET}\n{SECRET}\n", encoding="utf-8")
    (tmp_path / "post.password").write_text("a password\n", encoding="utf-8")

    def read(text: str):
        path = tmp_path / "callbroker.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("CALLBROKER_CONFIG", str(path))
        return load()

    return read


def opened(settings):
    return open_channels(settings.notify, clock=lambda: 0.0)


async def test_without_a_section_nobody_is_told(settings):
    assert opened(settings("")) == ()


async def test_each_section_is_a_channel_with_its_files_beside_the_settings(settings):
    chat, post, shop = opened(settings(CHAT + POST + SHOP))
    assert (chat.name, chat.kind, chat.groups) == ("chat", "webhook", ("leads",))
    assert chat.events == (NoticeEvent.HOLD_OPENED, NoticeEvent.HOLD_REMINDER)
    assert (post.kind, post.interval_s, post.together_above) == ("mail", 60, 0)
    assert shop.is_for_agents
    assert shop.agents == ("agents/support-assistant",)
    for channel in (chat, post, shop):
        await channel.messenger.close()


async def test_where_a_channel_goes_is_told_without_what_its_url_hides(settings):
    chat, post = opened(settings(CHAT + POST))
    assert chat.target == "https://chat.example.com"
    assert post.target == "lead@example.com by mail.example.com:587"
    await chat.messenger.close()


@pytest.mark.parametrize(
    "content",
    ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", SECRET.removeprefix("whsec_"), f"{SECRET}\n" * 3],
)
def test_what_is_no_secret_is_refused_and_not_quoted(settings, tmp_path, content):
    given = settings(CHAT)
    (tmp_path / "chat.secret").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationRefused) as refused:
        opened(given)
    assert "chat.secret has no secret" in str(refused.value)
    assert "c2hvcnQ" not in str(refused.value)
    assert SECRET.removeprefix("whsec_") not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(settings, tmp_path):
    given = settings(CHAT)
    (tmp_path / "chat.secret").unlink()
    with pytest.raises(ConfigurationRefused, match=r"chat\.secret"):
        opened(given)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHAT.replace("https", "http"), "loopback alone"),
        (CHAT.replace("https://", "ftp://"), "no https address"),
        (CHAT.replace("chat.example", "user@chat.example"), "no user"),
        (CHAT.replace("hidden?", "hid den?"), "percent-encode"),
        (CHAT.replace('"chat"', '"Chat!"'), "pattern"),
        (CHAT + CHAT, "a name of its own"),
        (CHAT + 'events = ["invocation.ended"]', "hold.opened"),
        (SHOP.replace('["agents/support-assistant"]', "[]"), "at least 1"),
        (POST.replace(":587", ""), "no address such as"),
        (POST + 'security = "none"', "loopback alone"),
        (POST.replace('user = "callbroker"', ""), "come together"),
        (POST.replace("lead@example.com", "lead"), "no mail address"),
        (POST.replace("lead@", "lead\\r\\nBcc: x@"), "no mail address"),
        (POST.replace("callbroker@", "Lead <lead@"), "no mail address"),
        ('[[notify]]\nkind = "pigeon"', "pigeon"),
    ],
)
def test_what_is_not_safe_is_refused_before_the_start(settings, text, said):
    with pytest.raises(ConfigurationRefused, match=said):
        settings(text)


async def test_a_look_at_a_channel_says_what_would_keep_it_from_telling(settings, tmp_path):
    shop, chat = settings(SHOP + CHAT.replace("chat.example.com", "10.0.0.7")).notify
    assert await check_channel(shop) == ""
    assert "allow_private" in await check_channel(chat)
    (tmp_path / "chat.secret").unlink()
    assert "chat.secret" in await check_channel(shop)

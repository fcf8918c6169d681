"""What the operator's page says of notices holds: its settings load, its receiver verifies."""

import time
from pathlib import Path
from typing import Any

import pytest

from broker.config import load
from broker.notices import open_channels
from broker.notices.webhook import WebhookMessenger
from tests.docs.pages import ROOT, blocks
from tests.notice_receiver import NEXT_SECRET, SECRET, for_people, receiving

PAGE = ROOT / "docs" / "operate.md"


def block(kind: str, word: str) -> str:
    (found,) = (one.text for one in blocks(PAGE) if one.kind == kind and word in one.text)
    return found


def receiver_of_the_page() -> Any:
    names: dict[str, Any] = {}
    exec(block("python", "webhook-signature"), names)
    return names["told"]


async def test_the_settings_of_the_page_are_taken(tmp_path: Path, monkeypatch):
    path = tmp_path / "callbroker.toml"
    path.write_text(block("toml", "[[notify]]"), encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    for name in ("chat", "shop", "mail"):
        (tmp_path / "secrets" / name).write_text(f"{SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("CALLBROKER_CONFIG", str(path))
    channels = open_channels(load().notify, clock=lambda: 0.0)
    assert [channel.name for channel in channels] == ["chat", "leads", "shop"]
    for channel in channels:
        await channel.messenger.close()


async def got(secrets: tuple[str, ...], *, ago_s: float = 0.0) -> Any:
    at = time.time() - ago_s  # noqa: TID251 - receivers live by the wall clock
    async with receiving() as receiver:
        await WebhookMessenger(receiver.url, secrets=secrets, clock=lambda: at).send(for_people())
    return receiver.received[0]


@pytest.mark.parametrize("secrets", [(SECRET,), (NEXT_SECRET, SECRET)])
async def test_the_receiver_of_the_page_takes_what_the_broker_signs_once(secrets):
    told, one = receiver_of_the_page(), await got(secrets)
    said = told(one.headers, one.body, SECRET)
    assert said["type"] == "hold.opened"
    assert set(said["data"]) == {"hold", "tool", "codes", "age_s", "link"}
    assert told(one.headers, one.body, SECRET) is None


async def test_the_receiver_of_the_page_refuses_what_is_forged_changed_or_old():
    told = receiver_of_the_page()
    one = await got((SECRET,))
    assert told(one.headers, one.body, NEXT_SECRET) is None
    assert told(one.headers, one.body.replace(b"refund", b"payout"), SECRET) is None
    assert told({**one.headers, "webhook-id": "msg_9"}, one.body, SECRET) is None
    old = await got((SECRET,), ago_s=400)
    assert told(old.headers, old.body, SECRET) is None

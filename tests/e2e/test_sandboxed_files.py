"""A file goes from an agent's disk into a container, and what the tool left goes back to disk."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.sdk import (
    NotFound,
    Principal,
    Refused,
    Succeeded,
    SyncBroker,
    SyncSession,
    connect_sync,
)
from tests.e2e.refusals import DEADLINE_S
from tests.e2e.sandboxed_shop import SandboxedShop, open_sandboxed_shop
from tests.e2e.shop_tools import AGENT, CUSTOMER
from tests.engine_api import ContainerEngine
from tests.sandbox_images import tool_image

TURN = """
import hashlib

def run(call, files, leave=()):
    told = []
    for path in call.files:
        content = path.read_bytes()
        told.append([path.name, len(content), hashlib.sha256(content).hexdigest()])
        (call.out / ("turned-" + path.name)).write_bytes(content[::-1])
    for name in leave:
        (call.out / name).write_bytes(b"left")
    return told
"""
SCOPE = "files:turn"


@pytest.fixture(scope="module")
def shop(container_engine: ContainerEngine) -> Iterator[SandboxedShop]:
    with open_sandboxed_shop(container_engine) as opened:
        image = tool_image(container_engine, TURN)
        opened.operator.put_tools([_tool(image)])
        for subject in ("groups/customers", AGENT):
            opened.operator.grant(subject, SCOPE)
        yield opened


@pytest.fixture(scope="module")
def broker(shop: SandboxedShop) -> Iterator[SyncBroker]:
    with connect_sync(
        shop.application.address,
        host_token=shop.operator.create_token("host", "hosts/files"),
        agent_token=shop.operator.create_token("agent", AGENT, person="assistants-owner"),
    ) as connected:
        yield connected


def opened(broker: SyncBroker) -> SyncSession:
    mandate = broker.create_mandate(
        principal=Principal(id=CUSTOMER, groups=("customers",)), agent=AGENT, scopes=[SCOPE]
    )
    return broker.open_session(mandate)


def test_files_go_in_and_come_out_as_they_are(
    shop: SandboxedShop, broker: SyncBroker, tmp_path: Path
) -> None:
    contents = [os.urandom(3 << 20), b"", b"second of its name"]
    with opened(broker) as session:
        names = ["large.bin", "empty", "large.bin"]
        sent = [
            session.upload(content, name=name)
            for content, name in zip(contents, names, strict=True)
        ]
        done = session.invoke("turn", {"files": [one.name for one in sent]})
        assert isinstance(done, Succeeded), done
        assert done.result == [
            [name, len(content), hashlib.sha256(content).hexdigest()]
            for name, content in zip(["large.bin", "empty", "large-2.bin"], contents, strict=True)
        ]
        left = {one.file_name: one for one in done.artefacts}
        assert set(left) == {"turned-large.bin", "turned-empty", "turned-large-2.bin"}
        saved = session.save(left["turned-large.bin"], tmp_path)
        assert saved.read_bytes() == contents[0][::-1]
        assert {one.trust for one in done.artefacts} == {"untrusted"}
        again = session.invoke("turn", {"files": [left["turned-large.bin"].name]})
        assert isinstance(again, Succeeded)
        assert session.read(again.artefacts[0]) == contents[0]
        body = shop.ended(done.name)["body"]
        assert {file["artefact"] for file in body["files"]} == {one.name for one in done.artefacts}
        assert body["output_trust"] == "untrusted"


def test_what_a_call_left_is_its_sessions_alone(broker: SyncBroker) -> None:
    with opened(broker) as mine, opened(broker) as other:
        done = mine.invoke("turn", {"files": [], "leave": ["a.txt"]})
        assert isinstance(done, Succeeded)
        (left,) = done.artefacts
        assert mine.read(left) == b"left"
        with pytest.raises(NotFound):
            other.read(left)
        refused = other.invoke("turn", {"files": [left.name]})
        assert isinstance(refused, Refused)
        assert refused.code == "ARTEFACT_UNKNOWN"


def test_a_name_with_a_trick_in_it_does_not_get_out(broker: SyncBroker) -> None:
    with opened(broker) as session:
        for name in (".profile", "-rf", "nul", "in\u202evoice"):
            outcome = session.invoke("turn", {"files": [], "leave": [name]})
            assert not outcome.artefacts
            assert not isinstance(outcome, Refused)
        assert session.artefacts() == []


def _tool(image: str) -> dict[str, object]:
    names = {"type": "array", "maxItems": 8, "items": {"type": "string", "maxLength": 200}}
    return {
        "name": "turn",
        "description": "Turns files round.",
        "summary": "Turn {/files}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": ["files"],
            "properties": {"files": names, "leave": names},
        },
        "output": {"trust": "trusted", "sensitivity": "none"},
        "behaviour": {"read_only": True, "open_world": False},
        "scopes": [{"name": SCOPE}],
        "runner": "sandbox",
        "sandbox": {
            "image": image,
            "files": {"in": ["/files"], "out": {"max": 8, "bytes_max": 8 << 20}},
        },
        "deadline_s": DEADLINE_S,
    }

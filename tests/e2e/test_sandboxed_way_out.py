"""A real container asks outside: what the profile lists, with a credential, and nothing else."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sandboxes import profiles
from sandboxes.containers import Surroundings
from sandboxes.docker_engine import DockerEngine
from sandboxes.egress.credentials import Credential
from sandboxes.node import Node, NodeOrder, Ran, new_node_id
from sandboxes.pool import PoolLimits
from sandboxes.profile import Profile
from sandboxes.supervise import CallOrder, Ending
from sandboxes.uids import Uids
from tests.engine_api import ContainerEngine
from tests.outside_world import HOST, egress, origin, outside, rule
from tests.sandbox_images import tool_image

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "correct-horse-battery-staple"
FETCHING = """
import socket
from callbroker_tool import EgressRefused, fetch

try:
    fetch("https://early.example.com/")
except EgressRefused as refused:
    EARLY = refused.code

def outcome(url):
    try:
        answer = fetch(url)
        return [answer.status, answer.body.decode()]
    except EgressRefused as refused:
        return refused.code

def straight(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return "open"
    except OSError:
        return "closed"

def run(call, order, urls, port, uncaught=""):
    if uncaught:
        fetch(uncaught)
    return {"early": EARLY, "said": [outcome(url) for url in urls],
            "straight": straight("127.0.0.1", port)}
"""


@asynccontextmanager
async def node(engine: ContainerEngine, state: Path, profile: Profile, file: Path):
    credential = Credential(name="shop", hosts=(HOST,), file=file)
    state.mkdir(mode=0o700)  # noqa: ASYNC240 - a test's own folder
    made = Node(
        DockerEngine(engine.url),
        NodeOrder(
            around=Surroundings(
                node_id=new_node_id(),
                directory=state,
                uids=Uids(),
                outside=outside(credential),
                now=lambda: NOW,
            ),
            profiles={profile.name: profile},
            limits=PoolLimits(warm=0, containers_max=4, idle_s=60.0, recycle_s=600.0),
        ),
    )
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def ran(
    engine: ContainerEngine, tmp_path: Path, port: int, arguments: dict[str, object]
) -> Ran:
    """One call of the tool, under `egress` with one rule."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)
    listed = rule(port, path="/orders/{/order}", credential="shop")
    profile = replace(profiles.shipped()["egress"], egress=egress(listed))
    async with node(engine, tmp_path / "state", profile, file) as made:
        reservation = await made.reserve(
            image=tool_image(engine, FETCHING),
            profile=profile.name,
            profile_digest=profile.digest,
            wait_s=20.0,
        )
        try:
            order = CallOrder(input_json=json.dumps(arguments).encode(), deadline_s=10.0)
            return await made.run(reservation, order)
        finally:
            made.release(reservation)


async def test_a_container_gets_what_is_listed_and_nothing_else(
    container_engine: ContainerEngine, tmp_path: Path
) -> None:
    async with origin() as host:
        urls = [host.url("/orders/O-1"), host.url("/orders/O-2"), "https://evil.example.com/"]
        given = {"order": "O-1", "urls": urls, "port": host.port}
        done = await ran(container_engine, tmp_path, host.port, given)
    refused = "EGRESS_NOT_LISTED"
    assert json.loads(done.outcome.result_json) == {
        "early": "EGRESS_CLOSED",
        "said": [[200, '{"ok":true}'], refused, refused],
        "straight": "closed",
    }
    assert [(each.path, each.code, each.credential) for each in done.requests] == [
        ("/", "EGRESS_CLOSED", ""),
        ("/orders/O-1", "", "shop"),
        ("/orders/O-2", refused, ""),
        ("/", refused, ""),
    ]
    assert [asked.headers["authorization"] for asked in host.asked] == [f"Bearer {SECRET}"]
    assert list((tmp_path / "state").iterdir()) == []


async def test_a_refusal_that_a_tool_does_not_catch_is_how_it_failed(
    container_engine: ContainerEngine, tmp_path: Path
) -> None:
    given = {"order": "O-1", "urls": [], "port": 1, "uncaught": f"https://{HOST}/orders/O-1"}
    done = await ran(container_engine, tmp_path, 1, given)
    assert (done.outcome.ending, done.outcome.code) == (Ending.TOOL_FAILED, "EGRESS_NOT_LISTED")
    assert done.outcome.message == "Not on the list: no rule allows this host, port and scheme."

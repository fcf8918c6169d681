"""I have an account on the broker's machine, and I look for its engine.

Whoever can write to an OPA owns its answers, whoever can ask it learns the rules, and OPA's API
offers both to all who reach it. I try the socket, the files beside it, the process's arguments and
environment, and, in case I do reach the socket, every part of the API, with the token and without.
"""

import os
import stat
from pathlib import Path

import aiohttp
import pytest

from broker.core.question_schema import EXAMPLE
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa

DECISION = "/v1/data/broker/decision/decision"
STRICT = "strict-builtin-errors=true"
MINE = "package broker.rules.mine\n\nverdicts contains 1\n"


@pytest.fixture
async def point(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_BROKER", "hunter2")
    started = await SupervisedOpa.start(
        bundle_of(family(ALLOW_ALL)), opa=opa(), runtime_directory=tmp_path
    )
    yield started
    await started.close()


def folder_of(directory):
    (folder,) = directory.iterdir()
    return folder


def of_process(point, name):
    return Path(f"/proc/{point.process_id}/{name}").read_bytes()


def open_by(point):
    return {str(p.readlink()) for p in Path(f"/proc/{point.process_id}/fd").iterdir()}


async def status(folder, method, path, *, token=None, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.UnixConnector(path=str(folder / "socket"))
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.request(method, f"http://opa{path}", **options) as response,
    ):
        return response.status


REQUESTS = [
    ("PUT", "/v1/policies/mine", {"data": MINE}),
    ("DELETE", "/v1/policies/mine", {}),
    ("GET", "/v1/policies", {}),
    ("PUT", "/v1/data/callbroker/silence", {"json": "ALLOW"}),
    ("PATCH", "/v1/data/callbroker", {"json": [{"op": "remove", "path": "/families"}]}),
    ("DELETE", "/v1/data/callbroker", {}),
    ("GET", "/v1/data", {}),
    ("POST", "/v1/data", {"json": {}}),
    ("POST", f"/v1/data?{STRICT}", {"json": {}}),
    ("GET", f"{DECISION}?{STRICT}", {}),
    ("POST", DECISION, {"json": {}}),
    ("POST", f"{DECISION}?strict-builtin-errors=1", {"json": {}}),
    ("POST", f"{DECISION}?{STRICT}&explain=full", {"json": {}}),
    ("POST", f"{DECISION}?{STRICT}&{STRICT}", {"json": {}}),
    ("POST", f"{DECISION}/?{STRICT}", {"json": {}}),
    ("POST", f"{DECISION}/verdicts?{STRICT}", {"json": {}}),
    ("POST", f"/v1/data/broker/rules?{STRICT}", {"json": {}}),
    ("POST", f"/v0/data/broker/decision/decision?{STRICT}", {"json": {}}),
    ("POST", f"/v1/data/system/authz?{STRICT}", {"json": {}}),
    ("POST", "/v1/query", {"json": {"query": "data.parameters = x"}}),
    ("GET", "/v1/query?q=data.callbroker%20=%20x", {}),
    ("POST", "/v1/compile", {"json": {"query": "true"}}),
    ("POST", "/", {"json": {}}),
    ("GET", "/", {}),
    ("GET", "/metrics", {}),
    ("GET", "/v1/status", {}),
    ("GET", "/v1/config", {}),
    ("GET", "/health?bundles", {}),
    ("GET", "/debug/pprof/", {}),
]


@pytest.mark.parametrize("with_token", [False, True], ids=["without the token", "with the token"])
async def test_of_the_api_only_the_one_question_is_open(point, tmp_path, with_token):
    token = point._child.opa._client.headers["Authorization"].removeprefix("Bearer ")
    folder = folder_of(tmp_path)
    for method, path, options in REQUESTS:
        found = await status(folder, method, path, token=token if with_token else None, **options)
        assert found in {401, 404, 405}, (method, path)
    answer = await point.evaluate(EXAMPLE, deadline_s=5)
    assert [verdict.code for verdict in answer.verdicts] == ["FINE"]


@pytest.mark.usefixtures("point")
@pytest.mark.parametrize("token", [None, "wrong", "null", "0" * 43])
async def test_without_the_token_the_question_is_not_answered(tmp_path, token):
    path = f"{DECISION}?{STRICT}"
    found = await status(folder_of(tmp_path), "POST", path, token=token, json={"input": EXAMPLE})
    assert found == 401
    assert await status(folder_of(tmp_path), "GET", "/health", token=token) == 401


@pytest.mark.usefixtures("point")
async def test_nobody_else_can_enter_its_folder_or_use_its_socket(tmp_path):
    folder = folder_of(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "socket").stat().st_mode) == 0o600
    assert folder.stat().st_uid == os.getuid()


async def test_the_token_is_in_no_file_and_no_argument(point, tmp_path):
    token = point._child.opa._client.headers["Authorization"].removeprefix("Bearer ").encode()
    assert len(token) >= 43
    files = [path for path in folder_of(tmp_path).rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert not any(token in path.read_bytes() for path in files)
    assert token not in of_process(point, "cmdline")


async def test_it_sees_nothing_of_the_brokers_environment(point):
    assert of_process(point, "environ") == b""


async def test_it_listens_on_no_network_port(point):
    addresses = [a for a in of_process(point, "cmdline").split(b"\0") if a.startswith(b"--addr")]
    assert [address.partition(b"://")[0] for address in addresses] == [b"--addr=unix"]
    listening = "0A"
    inodes = set()
    for table in ("tcp", "tcp6"):
        lines = of_process(point, f"net/{table}").decode("ascii").splitlines()[1:]
        inodes |= {fields[9] for line in lines if (fields := line.split())[3] == listening}
    assert not open_by(point) & {f"socket:[{inode}]" for inode in inodes}


@pytest.mark.usefixtures("point")
async def test_each_start_has_a_token_of_its_own(tmp_path):
    other = await SupervisedOpa.start(bundle_of(family(ALLOW_ALL)), opa=opa())
    try:
        token = other._child.opa._client.headers["Authorization"].removeprefix("Bearer ")
        path = f"{DECISION}?{STRICT}"
        assert await status(folder_of(tmp_path), "POST", path, token=token, json={}) == 401
    finally:
        await other.close()

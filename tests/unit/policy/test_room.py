"""With a URL, policy is ready when the OPA there answers from exactly the bundle that was built."""

import socket

import pytest

from broker.core.errors import PolicyUnavailable
from broker.policy.room import OpaRoom, RemoteOpa
from broker.ports import PolicyOrder, PolicyRefused
from tests.fakes.policy_trees import opa
from tests.remote_opa import remote_opa


async def built(room: OpaRoom, preset: str = "balanced"):
    return await room.build(PolicyOrder(files={}, preset=preset), tools=())


async def test_a_remote_opa_that_serves_the_bundle_is_ready(tmp_path):
    bundle = await built(OpaRoom(opa=opa()))
    async with remote_opa(tmp_path, bundle) as url:
        remote = RemoteOpa(url=url, token="theirs", ca_file=tmp_path / "cert.pem")
        room = OpaRoom(opa=opa(), remote=remote)
        for _ in range(200):  # it is being started by somebody else
            try:
                await room.prepare(bundle)
                break
            except PolicyUnavailable:
                continue
        assert room.at(bundle.revision).revision == bundle.revision
        with pytest.raises(PolicyUnavailable, match="does not serve policy"):
            await room.prepare(await built(room, preset="strict"))
        await room.close()


async def test_a_remote_opa_that_is_away_is_named():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        room = OpaRoom(opa=opa(), remote=RemoteOpa(url=url, token="theirs"))
        with pytest.raises(PolicyUnavailable, match="cannot be asked"):
            await room.prepare(await built(room))


@pytest.mark.parametrize("path", ["../outside.rego", "/etc/outside.rego", "", "a/../../b"])
async def test_a_path_that_leaves_the_directory_is_refused(path):
    """Activate a policy whose file names write where the broker can."""
    room = OpaRoom(opa=opa())
    with pytest.raises(PolicyRefused, match="no path inside"):
        await room.build(PolicyOrder(files={path: b"x"}, preset="balanced"), tools=())

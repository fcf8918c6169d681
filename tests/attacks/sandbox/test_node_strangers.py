"""Somebody who is not the broker speaks to a node: whoever may, runs whatever an image does.

The node has no users: who may connect is all that stands before its engine.
"""

import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from sandboxes import main, settings
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc
from tests.sandbox_nodes import serving, settled
from tests.unit.sandbox_nodes.authority import Authority

NOWHERE = "unix:///nowhere/engine.sock"
DEADLINE_S = 5.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="cb-") as made:
        yield Path(made)


@pytest.fixture
def nodes() -> Authority:
    """Signs certificates of nodes and of brokers."""
    return Authority("ours")


@pytest.fixture
async def remote(directory: Path, nodes: Authority) -> AsyncIterator[str]:
    """Address of a node that listens for other machines."""
    key, certificate = nodes.issue("localhost")
    files = {"key": key, "certificate": certificate, "clients": nodes.pem}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    async with settled(
        NOWHERE,
        directory / "state",
        listen="localhost:0",
        tls_key_file=directory / "key",
        tls_certificate_file=directory / "certificate",
        tls_client_ca_file=directory / "clients",
    ) as address:
        yield address


async def asked(channel: grpc.aio.Channel) -> pb.CheckHealthResponse:
    async with channel:
        stub = sandboxes_pb2_grpc.SandboxServiceStub(channel)
        return await stub.CheckHealth(pb.CheckHealthRequest(), timeout=DEADLINE_S)


async def test_a_client_that_the_authority_signed_is_served(remote: str, nodes: Authority) -> None:
    """The honest way, so that the refusals below are refusals of something."""
    key, certificate = nodes.issue("broker")
    credentials = grpc.ssl_channel_credentials(nodes.pem, key, certificate)

    health = await asked(grpc.aio.secure_channel(remote, credentials))

    assert not health.healthy


@pytest.mark.parametrize("who", ["in the clear", "without a certificate", "signed by another"])
async def test_a_stranger_on_the_network_is_not_heard(
    who: str, remote: str, nodes: Authority
) -> None:
    """Connect to the port: in the clear, as nobody, or vouched for by another authority."""
    if who == "in the clear":
        channel = grpc.aio.insecure_channel(remote)
    elif who == "without a certificate":
        channel = grpc.aio.secure_channel(remote, grpc.ssl_channel_credentials(nodes.pem))
    else:
        key, certificate = Authority("another").issue("broker")
        credentials = grpc.ssl_channel_credentials(nodes.pem, key, certificate)
        channel = grpc.aio.secure_channel(remote, credentials)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked(channel)

    assert refused.value.code() in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }


@pytest.mark.parametrize("left_out", ["tls_key_file", "tls_certificate_file", "tls_client_ca_file"])
def test_a_node_does_not_listen_for_others_without_every_file_of_mutual_tls(
    left_out: str, directory: Path
) -> None:
    """Wait for an operator who opens the port first and means to see to certificates later."""
    files = {"tls_key_file", "tls_certificate_file", "tls_client_ca_file"} - {left_out}

    with pytest.raises(settings.SettingsRefused, match="could run anything"):
        settings.load(listen="0.0.0.0:7500", **{name: directory / name for name in files})


async def test_another_user_of_the_machine_cannot_reach_the_socket(directory: Path) -> None:
    """Be a process of another user on the same machine, and connect."""
    async with serving(NOWHERE, directory / "state"):
        state = (directory / "state").stat().st_mode
        socket = (directory / "state" / "sandboxd.sock").stat().st_mode

    assert stat.S_IMODE(state) == 0o700
    assert stat.S_IMODE(socket) == 0o600


async def test_a_state_directory_that_others_filled_is_not_used(directory: Path) -> None:
    """Make the node's directory before it does, with a link where the node empties a directory."""
    state, precious = directory / "state", directory / "precious"
    state.mkdir()
    state.chmod(0o777)
    precious.mkdir()
    (precious / "file").touch()
    (state / "egress").symlink_to(precious)
    (state / "lock").symlink_to(precious / "made")

    with pytest.raises(main.StartRefused, match="Others could write"):
        async with serving(NOWHERE, state):
            pass

    assert [each.name for each in precious.iterdir()] == ["file"]


async def test_a_link_in_place_of_the_directory_of_sockets_is_not_followed(directory: Path) -> None:
    """Have an operator move that directory elsewhere, where the node would empty it."""
    state, precious = directory / "state", directory / "precious"
    for made in (state, precious):
        made.mkdir(mode=0o700)
    (precious / "file").touch()
    (state / "egress").symlink_to(precious)

    with pytest.raises(main.StartRefused, match="is a link"):
        async with serving(NOWHERE, state):
            pass

    assert (precious / "file").exists()


async def test_a_state_directory_of_somebody_else_is_not_used(directory: Path) -> None:
    """Keep the node's directory mine, whatever mode it gets: I change that back later."""
    state = directory / "state"
    state.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(state, 65_534, 65_534)
    else:
        state = Path("/usr")

    with pytest.raises(main.StartRefused, match="another user"):
        async with serving(NOWHERE, state):
            pass


@pytest.mark.parametrize("held", ["", "*", "0123456789abcde", "callbroker"])
async def test_half_an_id_names_no_node(held: str, directory: Path) -> None:
    """Cut the power while a node writes its id: with an empty one it removes its neighbours'."""
    state = directory / "state"
    state.mkdir(mode=0o700)
    (state / "node_id").write_text(held, "utf-8")

    with pytest.raises(main.StartRefused, match="no node's id"):
        async with serving(NOWHERE, state):
            pass


async def test_a_way_out_with_a_finding_keeps_the_node_from_starting(directory: Path) -> None:
    """Write a profile that hands a shared credential to every path, and wait for its first call."""
    profiles, secret = directory / "profiles", directory / "secret"
    profiles.mkdir()
    secret.write_text("s3cret-s3cret", "utf-8")
    rules = [{"host": "api.example.com", "path": "/*", "credential": "shop"}]
    strict = {"name": "shop", "description": "For the shop.", "egress": {"rules": rules}}
    (profiles / "shop.yaml").write_text(json.dumps(strict), "utf-8")
    shop = {"hosts": ["api.example.com"], "file": secret}

    with pytest.raises(main.StartRefused, match=r"Profile shop.*all subjects share"):
        async with serving(
            NOWHERE, directory / "state", profiles=profiles, credentials={"shop": shop}
        ):
            pass

"""A token in the clear stays on this machine."""

import pytest

from broker.sdk import PlaintextRefused, connect


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1:7400",
        "broker.example.com:7400",
        "127.0.0.1.example.com:7400",
        "dns:///localhost:7400",
        "0.0.0.0:7400",
        "[::]:7400",
        "localhost",
    ],
)
def test_plaintext_is_refused_off_this_machine(address: str) -> None:
    """A token sent in the clear is anybody's: the client must not depend on the server for this."""
    with pytest.raises(PlaintextRefused, match="CALLBROKER_CA_FILE"):
        connect(address, agent_token="a")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/b"]
)
def test_plaintext_is_taken_on_this_machine(address: str) -> None:
    connect(address, agent_token="a")

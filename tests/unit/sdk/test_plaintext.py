"""A token in the clear stays on this machine."""

from pathlib import Path

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


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:7500",
        "https://broker.example.com",
        "grpc://127.0.0.1:7500",
        "127.0.0.1",
        "localhost",
        "::1",
        "::1:7400",
        "127.0.0.1:7400/",
        " 127.0.0.1:7400",
        "127.0.0.1:",
    ],
)
def test_what_is_no_address_is_told_as_that(address: str) -> None:
    """Who reads of certificates looks for certificates."""
    with pytest.raises(PlaintextRefused) as refused:
        connect(address, agent_token="a")
    assert str(refused.value).startswith(
        f"{address} is no address: host:port, such as 127.0.0.1:7400, without http://."
    )
    assert "CALLBROKER_CA_FILE" not in str(refused.value)


def test_under_tls_a_port_may_be_left_out_and_a_url_is_no_address(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(b"")
    for address in ("broker.example.com", "dns:///broker.example.com", "[::1]:7400"):
        connect(address, agent_token="a", ca_file=authority)
    with pytest.raises(PlaintextRefused, match="is no address"):
        connect("https://broker.example.com:7400", agent_token="a", ca_file=authority)

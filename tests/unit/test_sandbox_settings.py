"""Nodes are named by addresses that are safe to speak to; any other is told before the start."""

from pathlib import Path

import pytest

from broker import config
from broker.config import ConfigurationRefused, load

TLS = """
tls_ca_file = "tls/ca.pem"
tls_certificate_file = "tls/broker.pem"
tls_key_file = "tls/broker.key"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch):
    """Reads a [sandboxes] section from a file in `tmp_path`."""

    def read(section: str) -> config.Sandboxes:
        path = tmp_path / "callbroker.toml"
        path.write_text(f"[sandboxes]\n{section}\n", encoding="utf-8")
        monkeypatch.setenv("CALLBROKER_CONFIG", str(path))
        return load().sandboxes

    return read


def test_without_the_section_there_are_no_nodes(settings):
    assert settings("").nodes == ()


def test_paths_are_relative_to_the_file(settings, tmp_path: Path):
    given = settings('nodes = ["unix:run/a.sock", "unix:/run/b.sock", "unix:///run/c.sock"]')
    assert given.nodes == (
        f"unix:{tmp_path}/run/a.sock",
        "unix:/run/b.sock",
        "unix:/run/c.sock",
    )
    elsewhere = settings(f'nodes = ["nodes.example.com:7410"]{TLS}')
    assert elsewhere.nodes == ("nodes.example.com:7410",)
    assert elsewhere.tls_ca_file == tmp_path / "tls" / "ca.pem"


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('nodes = ["nodes.example.com:7410"]', "not a unix socket"),
        ('nodes = ["127.0.0.1:7410"]', "not a unix socket"),
        (f'nodes = ["http://nodes.example.com:7410"]{TLS}', "not an address"),
        (f'nodes = ["nodes.example.com"]{TLS}', "not an address"),
        ('nodes = ["unix:"]', "not an address"),
        ('nodes = ["/run/sandboxd.sock"]', "not an address"),
        ('nodes = ["unix:/a", "unix:/a"]', "each once"),
        ('tls_ca_file = "ca.pem"', "come together"),
        ('node = "unix:/a"', "sandboxes.node: there is no such setting"),
    ],
)
def test_an_unsafe_or_senseless_node_is_told(settings, section: str, told: str):
    with pytest.raises(ConfigurationRefused) as refused:
        settings(section)
    assert told in str(refused.value)

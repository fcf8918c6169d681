"""Spans go nowhere that somebody can read along, and nothing secret is in their address."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from broker.config import ConfigurationRefused, Settings, load
from broker.telemetry_settings import Traces


def test_nothing_is_told_unless_a_setting_asks_for_it():
    assert Traces().url == ""
    assert Settings(listen="127.0.0.1:0").traces == Traces()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4318/v1/traces",
        "http://[::1]:4318/v1/traces",
        "http://localhost:4318/v1/traces",
        "https://otel.example.com/v1/traces",
    ],
)
def test_what_is_safe_is_taken(url: str):
    assert Traces(url=url).url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://otel.example.com:4318/v1/traces", "no https address"),
        ("http://localhost.example.com/v1/traces", "no https address"),
        ("otel.example.com:4318", "no https address"),
        ("https:///v1/traces", "no https address"),
        ("https://otel.example.com", "ends in a path"),
        ("https://otel.example.com/", "ends in a path"),
        ("https://otel.example.com/v1/traces?key=s3cret", "ends in a path"),
        ("https://otel.example.com/v1/traces#x", "ends in a path"),
        ("https://user:s3cret@otel.example.com/v1/traces", "use token_file"),
    ],
)
def test_what_is_not_safe_is_refused(url: str, why: str):
    with pytest.raises(ValidationError, match=why):
        Traces(url=url)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_is_between_nothing_and_all(ratio: float):
    with pytest.raises(ValidationError):
        Traces(ratio=ratio)


def test_files_are_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "callbroker.toml"
    file.write_text('[traces]\nurl = "https://o.example.com/v1/traces"\ntoken_file = "t"\n')
    monkeypatch.setenv("CALLBROKER_CONFIG", str(file))
    assert load().traces.token_file == tmp_path / "t"
    file.write_text('[traces]\nurl = "http://o.example.com/v1/traces"\n')
    with pytest.raises(ConfigurationRefused, match="traces"):
        load()

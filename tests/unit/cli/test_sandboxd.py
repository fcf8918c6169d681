"""`callbroker sandboxd`: what it says of itself, and of settings that it cannot use."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from broker.cli.main import main
from sandboxes.settings import SandboxdSettings


def test_every_setting_is_listed_with_its_value_and_meaning(capsys):
    code = main(["sandboxd", "--settings", "--engine", "unix:///run/other.sock"])
    said = capsys.readouterr().out

    assert code == 0
    assert "engine = unix:///run/other.sock" in said
    for name, field in SandboxdSettings.model_fields.items():
        assert f"\n{name} = " in f"\n{said}"
        assert field.description in said


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--listen", "0.0.0.0:7500", "tls_certificate_file"),
        ("--engine", "tcp://example.com:2375", "not a socket here"),
    ],
)
def test_a_setting_that_it_cannot_use_is_told_and_nothing_is_started(capsys, option, value, word):
    code = main(["sandboxd", option, value])
    said = capsys.readouterr().err

    assert code == 2
    assert "The configuration of sandboxd cannot be used:" in said
    assert word in said


def test_what_keeps_it_from_starting_is_a_sentence(capsys):
    with TemporaryDirectory(prefix="cb-") as made:
        taken = Path(made) / "taken"
        taken.write_text("no directory")
        code = main(["sandboxd", "--state", str(taken)])
    said = capsys.readouterr().err

    assert code == 2
    assert "The state directory" in said
    assert "Traceback" not in said

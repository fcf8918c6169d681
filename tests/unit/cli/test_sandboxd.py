"""`callbroker sandboxd`: what it says of itself, and of settings that it cannot use."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from structlog.testing import capture_logs

from broker.cli.main import main
from sandboxes.main import serving
from sandboxes.settings import SandboxdSettings, load
from tests.unit.sandbox_nodes.authority import Authority


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


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"node.key": "another"}, "are no pair"),
        ({"node.pem": "key"}, "are no pair"),
        ({"clients.pem": "key"}, "clients.pem holds no certificate"),
    ],
)
def test_tls_files_that_do_not_fit_are_named(capsys, monkeypatch, tmp_path, broken, word):
    authority = Authority("nodes")
    key, certificate = authority.issue("node.example")
    contents = {"key": key, "another": authority.issue("node.example")[0]}
    files = {"node.pem": certificate, "node.key": key, "clients.pem": authority.pem}
    files |= {name: contents[other] for name, other in broken.items()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = tmp_path / "sandboxd.toml"
    settings.write_text(
        'listen = "127.0.0.1:0"\ntls_certificate_file = "node.pem"\n'
        'tls_key_file = "node.key"\ntls_client_ca_file = "clients.pem"\n'
        'engine = "unix:///run/no-engine.sock"\nstate = "state"\n'
    )
    monkeypatch.setenv("CALLBROKER_SANDBOXD_CONFIG", str(settings))

    assert main(["sandboxd"]) == 2
    said = capsys.readouterr().err
    assert word in said
    assert "another process" not in said


def test_a_setting_that_is_misspelt_is_told_with_where_all_are_listed(
    capsys, monkeypatch, tmp_path
):
    settings = tmp_path / "sandboxd.toml"
    settings.write_text("warmm = 3\n")
    monkeypatch.setenv("CALLBROKER_SANDBOXD_CONFIG", str(settings))

    assert main(["sandboxd"]) == 2
    assert "did you mean warm? `callbroker sandboxd --settings`" in capsys.readouterr().err


def test_a_base_that_is_misspelt_is_told_before_an_engine_is_asked(capsys, tmp_path):
    engine = f"unix://{tmp_path / 'none.sock'}"
    code = main(["sandbox", "build", "run_python", "--base", "pithon", "--engine", engine])

    assert code == 2
    assert "There is no base 'pithon'; there are python, shell." in capsys.readouterr().err


async def test_a_credential_that_could_not_be_used_is_told_at_the_start(monkeypatch):
    with TemporaryDirectory(prefix="cb-") as made:
        place = Path(made)
        (place / "open.token").write_text("a-secret-of-somebody")
        (place / "open.token").chmod(0o644)
        (place / "good.token").write_text("a-secret-of-somebody")
        (place / "good.token").chmod(0o600)
        settings = place / "sandboxd.toml"
        settings.write_text(
            'engine = "unix:///run/no-engine.sock"\nstate = "state"\n'
            + "".join(
                f'[credentials.{name}]\nfile = "{name}.token"\nhosts = ["*.example.com"]\n'
                for name in ("open", "good", "absent")
            )
        )
        monkeypatch.setenv("CALLBROKER_SANDBOXD_CONFIG", str(settings))
        with capture_logs() as logged:
            async with serving(load()):
                pass

    told = {each["name"]: each["why"] for each in logged if each["event"] == "credential_unusable"}
    assert told == {
        "open": "The credential is no plain file of mode 0600.",
        "absent": "The credential cannot be read.",
    }

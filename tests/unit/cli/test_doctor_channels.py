"""`callbroker doctor` says which channels of the settings could not tell anybody anything."""

from broker.cli.doctor import channel_findings, configured
from sandboxes.doctor import Level
from tests.notice_receiver import SECRET

SETTINGS = """
[[notify]]
kind = "webhook"
name = "chat"
url = "http://127.0.0.1:1/hooks"
secret_file = "chat"

[[notify]]
kind = "webhook"
name = "inside"
url = "https://10.0.0.7/hooks"
secret_file = "chat"
"""


def test_each_channel_is_looked_at_without_telling_anything(tmp_path, monkeypatch):
    path = tmp_path / "callbroker.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "chat").write_text(SECRET, encoding="utf-8")
    monkeypatch.setenv("CALLBROKER_CONFIG", str(path))
    settings, refusals = configured()
    assert settings is not None
    assert refusals == ()
    well, ill = channel_findings(settings.notify)
    assert (well.level, well.part) == (Level.OK, "notify")
    assert ill.level is Level.WARNING
    assert "inside: 10.0.0.7 is not public" in ill.said
    assert SECRET not in repr((well, ill))


def test_where_there_are_no_settings_there_is_nothing_to_look_at(tmp_path, monkeypatch):
    monkeypatch.delenv("CALLBROKER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert configured() == (None, ())


def test_settings_that_are_refused_are_told_of_once(tmp_path, monkeypatch):
    path = tmp_path / "callbroker.toml"
    path.write_text("unknown = 1", encoding="utf-8")
    monkeypatch.setenv("CALLBROKER_CONFIG", str(path))
    settings, (refused,) = configured()
    assert settings is None
    assert (refused.level, refused.part) == (Level.REFUSED, "settings")
    assert "unknown: there is no such setting" in refused.said

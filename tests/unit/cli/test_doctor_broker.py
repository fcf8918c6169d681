"""`callbroker doctor` on a broker's machine: what it finds, what it mends, and what it leaves."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker import bootstrap
from broker.cli.connection import Token, failure_of
from broker.cli.doctor_broker import (
    database_findings,
    running_findings,
    silent_finding,
    state_findings,
)
from broker.config import Settings
from broker.v1.admin_pb2 import (
    ChannelStatus,
    Credential,
    Freeze,
    GetStatusResponse,
    WorkerStatus,
)
from sandboxes.doctor import Finding, Level
from tests.postgres import server

NOW = 1_800_000_000.0
TOKEN = Token(text="not-a-token", origin="CALLBROKER_OPERATOR_TOKEN")
DAY_S = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path / "state", database=f"sqlite:///{tmp_path}/state/callbroker.db")
    bootstrap.prepare(made)
    return made


class Refused(grpc.RpcError):
    """What a broker says that cannot read its database; what a channel says that finds nobody."""

    def __init__(self, *reasons: str) -> None:
        self._metadata = tuple(("callbroker-reason", reason) for reason in reasons)

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "The database cannot be read; nothing was decided and nothing ran."

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


def levels(found: list[Finding]) -> dict[str, Level]:
    return {finding.part: finding.level for finding in found}


def at(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds))


def test_a_new_broker_is_well(settings: Settings):
    assert levels(list(state_findings(settings.state, mend=False)))["state"] is Level.OK
    assert levels(list(database_findings(settings, now=NOW))) == {"database": Level.OK}


def test_what_is_open_to_others_is_refused_and_mended_where_asked(settings: Settings):
    key = settings.state / "audit-signing.key"
    key.chmod(0o644)
    settings.state.chmod(0o755)
    found = [f for f in state_findings(settings.state, mend=False) if f.level is Level.REFUSED]
    assert len(found) == 2
    assert all(finding.mend == "callbroker doctor --mend" for finding in found)
    assert key.stat().st_mode & 0o777 == 0o644
    told = list(state_findings(settings.state, mend=True))
    assert Level.REFUSED not in {finding.level for finding in told}
    assert key.stat().st_mode & 0o077 == 0
    assert settings.state.stat().st_mode & 0o777 == 0o700
    assert (settings.state / "tokens").is_dir()
    assert levels(list(state_findings(settings.state, mend=False)))["state"] is Level.OK


def test_a_link_in_the_state_directory_is_not_followed(settings: Settings, tmp_path: Path):
    """Put a link there to a file that is to be readable, and have it closed by mending."""
    outside = tmp_path / "outside"
    outside.write_text("x", "utf-8")
    outside.chmod(0o644)
    (settings.state / "audit-other.key").symlink_to(outside)
    list(state_findings(settings.state, mend=True))
    assert outside.stat().st_mode & 0o777 == 0o644


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path):
    settings = Settings(state=tmp_path, database=f"sqlite:///{tmp_path}/none.db")
    (found,) = database_findings(settings, now=NOW)
    assert (found.level, found.mend) == (Level.WARNING, "callbroker migrate")
    assert not (tmp_path / "none.db").exists()


def test_a_database_without_tables_is_told_how_to_get_them(tmp_path: Path):
    (tmp_path / "empty.db").touch()
    settings = Settings(state=tmp_path, database=f"sqlite:///{tmp_path}/empty.db")
    (found,) = database_findings(settings, now=NOW)
    assert (found.level, found.mend) == (Level.REFUSED, "callbroker migrate")


def test_a_clock_that_is_not_the_servers_is_told():
    with server().database() as name:
        settings = Settings(database=server().url(name))
        found = list(database_findings(settings, now=NOW))
    assert levels(found) == {"database": Level.OK, "clock": Level.WARNING}


def test_what_a_broker_leaves_undone_is_told_with_what_mends_it():
    told = GetStatusResponse(
        broker="brokers/1",
        policy_ready=False,
        invocations_unknown=2,
        workers=[WorkerStatus(name="workers/1", tools_without_preview=["refund"])],
        channels=[ChannelStatus(name="chat", given_up=1, problem="404")],
    )
    freezes = [
        Freeze(name="freezes/1", reason="Old.", create_time=at(NOW - 3 * DAY_S)),
        Freeze(name="freezes/2", reason="New.", create_time=at(NOW - 60)),
    ]
    credentials = [
        Credential(name="credentials/1", subject="agents/a", expire_time=at(NOW + 3 * DAY_S)),
        Credential(name="credentials/2", subject="agents/b", expire_time=at(NOW + 90 * DAY_S)),
        Credential(name="credentials/3", subject="agents/c", expire_time=at(NOW - 1)),
        Credential(
            name="credentials/4", subject="agents/d", expire_time=at(NOW + 60), revoked=True
        ),
    ]
    found = list(running_findings(told, freezes, credentials, now=NOW))
    assert levels(found) == {
        "policy": Level.REFUSED,
        "calls": Level.WARNING,
        "previews": Level.WARNING,
        "notify": Level.WARNING,
        "freezes": Level.WARNING,
        "credentials": Level.WARNING,
    }
    assert len(found) == len(levels(found))
    assert all(finding.mend for finding in found)


def test_a_broker_that_leaves_nothing_undone_is_well():
    (found,) = running_findings(
        GetStatusResponse(broker="brokers/1", policy_ready=True), [], [], now=NOW
    )
    assert found.level is Level.OK


def test_a_broker_whose_database_is_away_need_not_be_started():
    """At night, with the database down, `callbroker serve` is the last thing to type."""
    away = failure_of(Refused("STORE_UNAVAILABLE"), address="127.0.0.1:7400", token=TOKEN)
    found = silent_finding(away)
    assert (found.level, found.mend) == (Level.WARNING, "docs/runbooks/store-cannot-commit.md")
    assert "database cannot be read" in found.said
    nobody = silent_finding(failure_of(Refused(), address="127.0.0.1:7400", token=TOKEN))
    assert "callbroker serve" in nobody.mend

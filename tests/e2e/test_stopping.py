"""A broker that is told to stop ends well, whoever has a connection open to it and says nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from broker import bootstrap, config
from tests.benchmarks.guarded_echo import free_port, listens
from tests.e2e.often_stopped import WITHIN_S, strangers
from tests.fakes.policy_trees import opa

STOPS = 20


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[tuple["subprocess.Popen[bytes]", tuple[str, int]]]:
    """A broker as a process of its own, and where it listens."""
    port = free_port()
    settings = config.Settings(
        listen=f"127.0.0.1:{port}",
        state=directory / "state",
        database=f"sqlite:///{directory}/callbroker.db",
        opa=opa(),
    )
    bootstrap.operator_token(settings)
    environment = {
        **os.environ,
        "CALLBROKER_LISTEN": settings.listen,
        "CALLBROKER_STATE": str(settings.state),
        "CALLBROKER_DATABASE": settings.database,
        "CALLBROKER_OPA": str(settings.opa),
        "CALLBROKER_WEB__LISTEN": "",
        "CALLBROKER_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "broker.command", "serve"]
    process = subprocess.Popen(command, cwd=directory, env=environment)
    try:
        until = time.monotonic() + WITHIN_S
        while not listens(settings.listen):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process, ("127.0.0.1", port)
    finally:
        process.kill()
        process.wait(WITHIN_S)


def test_it_stops_well_among_connections_that_say_nothing(tmp_path: Path):
    """Open connections that say nothing or half of something, abort most of them, keep the others,
    and have the process die in the middle of its stopping."""
    with serving(tmp_path) as (process, where), strangers(where):
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0


def test_grpc_stops_well_among_them_however_often():
    """Have gRPC itself, with the broker's options, read memory that it has given back: 1.78 did, in
    one of a few stops, where somebody had not said enough to be a connection."""
    command = [sys.executable, "-m", "tests.e2e.often_stopped", str(STOPS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"{STOPS} stops\n"), ended.stderr

"""A broker that is told to stop ends well, whoever has a connection open to it and says nothing."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker import bootstrap, config
from tests.attacks.test_connections import HEADERS, INVOKE, PREFACE, SETTINGS, frame, headers
from tests.benchmarks.guarded_echo import free_port, listens
from tests.fakes.policy_trees import opa

WITHIN_S = 120.0
SILENT = 50
ABORTED = 200
SAID = (
    b"",
    PREFACE[:9],
    PREFACE + frame(SETTINGS, 0, 0),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, headers(INVOKE, "nonsense")),
)


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


def connected(where: tuple[str, int], said: bytes) -> socket.socket:
    """Somebody who says this and no more; closing aborts the connection (RFC 9293, RST)."""
    made = socket.create_connection(where, WITHIN_S)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(ConnectionError):
        made.sendall(said)
    return made


def answered(where: tuple[str, int]) -> None:
    """Somebody else asks, and is answered."""
    with grpc.insecure_channel(f"{where[0]}:{where[1]}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        check(health_pb2.HealthCheckRequest(), timeout=WITHIN_S, wait_for_ready=True)


@pytest.mark.parametrize("trial", range(2))
def test_it_stops_well_among_connections_that_say_nothing(tmp_path: Path, trial: int):
    """Open connections that say nothing or half of something, abort most of them, keep the others,
    and have the process die in the middle of its stopping: gRPC reads memory that it has given back
    where it stops while a connection has not said enough to be one."""
    del trial
    with serving(tmp_path) as (process, where), contextlib.ExitStack() as stack:
        for number in range(ABORTED):
            connected(where, SAID[number % len(SAID)]).close()
        for number in range(SILENT):
            stack.enter_context(connected(where, SAID[number % 2]))
        answered(where)  # whoever came before was let in before
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0

"""What the engine itself costs, for comparison: `docker run`, `docker exec`, and its own rate."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
from requests.exceptions import RequestException
from urllib3.exceptions import ProtocolError

from sandboxes.entry.frames import Question, encode_question
from tests.engine_api import ContainerEngine

INPUT = b'{"text":"hello"}'
QUESTION = encode_question(Question("0" * 32, INPUT))
FLAGS = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--pids-limit", "64", "--tmpfs", "/tmp"),
    *("--memory", "256m", "--memory-swap", "256m", "--cpus", "0.5"),
)
CLIENT_DEADLINE_S = 60
SHARED_COMMAND = (
    "import json,sys\nprint(json.dumps({'text': json.loads(sys.stdin.readline())['text']}))"
)


def docker_run(engine: ContainerEngine, image: str) -> float:
    """Milliseconds of one `docker run` of the same image, asked the same question."""
    begun_s = time.perf_counter()
    answered = _client(engine, ["run", "--rm", "--interactive", *FLAGS, image], QUESTION)
    took_ms = (time.perf_counter() - begun_s) * 1000
    assert b"hello" in answered, answered
    return took_ms


@contextlib.contextmanager
def shared_container(engine: ContainerEngine, image: str) -> Iterator[str]:
    """A container that everybody's calls enter, as is often done."""
    command = ["run", "--detach", *FLAGS, "--entrypoint", "/usr/bin/sleep", image, "600"]
    container = _client(engine, command).decode().strip()
    try:
        yield container
    finally:
        engine.ask("DELETE", f"/containers/{container}?force=1&v=1")


def docker_exec(engine: ContainerEngine, container: str) -> float:
    """Milliseconds of one `docker exec` of a Python one-liner into a container that runs."""
    begun_s = time.perf_counter()
    python = ["/usr/bin/python3", "-I", "-S", "-c", SHARED_COMMAND]
    answered = _client(engine, ["exec", "--interactive", container, *python], INPUT + b"\n")
    took_ms = (time.perf_counter() - begun_s) * 1000
    assert b"hello" in answered, answered
    return took_ms


def containers_made(
    engine: ContainerEngine, body: Mapping[str, Any], *, clients: int, within_s: float
) -> float:
    """Containers a second: each is created, started, waited for and removed, and asked nothing.

    Args:
        engine: the one that is measured.
        body: of `POST /containers/create`, as a node makes it; its input is closed at once, so
            that its program loads, finds no question, and ends.
        clients: that do so side by side.
        within_s: how long.
    """
    ends_s = time.monotonic() + within_s
    counts = [0] * clients
    unasked = {**body, "OpenStdin": False, "StdinOnce": False, "AttachStdin": False}

    def work(number: int) -> None:
        while time.monotonic() < ends_s:
            made = engine.ask("POST", "/containers/create", unasked)["Id"]
            engine.ask("POST", f"/containers/{made}/start")
            engine.ask("POST", f"/containers/{made}/wait")
            engine.ask("DELETE", f"/containers/{made}?force=1&v=1")
            counts[number] += 1

    begun_s = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun_s)


def slot_bytes(engine: ContainerEngine, container: str) -> tuple[int, int]:
    """Memory of a container that waits: its cgroup's, and its shim's proportional share."""
    stats = engine.ask("GET", f"/containers/{container}/stats?stream=0&one-shot=1")
    return int(stats["memory_stats"]["usage"]), _shim_bytes(container)


@contextlib.contextmanager
def watching(engine: ContainerEngine) -> Iterator[list[Mapping[str, Any]]]:
    """What the engine does with containers meanwhile, in its own words."""
    seen: list[Mapping[str, Any]] = []
    client = docker.APIClient(base_url=engine.url)
    stream = client.events(filters={"type": "container"}, decode=True)

    def listen() -> None:
        with contextlib.suppress(OSError, ValueError, RequestException, ProtocolError):
            seen.extend(stream)  # grows as they come

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield seen
    finally:
        stream.close()
        listener.join(CLIENT_DEADLINE_S)
        client.close()


def _shim_bytes(container: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"shim" in words[0] and container.encode() in words:
                rollup = (process / "smaps_rollup").read_text("utf-8").splitlines()
                return next(int(s.split()[1]) * 1024 for s in rollup if s.startswith("Pss:"))
    return 0


def _client(engine: ContainerEngine, command: list[str], given: bytes = b"") -> bytes:
    ended = subprocess.run(
        ["docker", *command],
        env={**os.environ, "DOCKER_HOST": engine.url},
        input=given,
        capture_output=True,
        check=True,
        timeout=CLIENT_DEADLINE_S,
    )
    return ended.stdout

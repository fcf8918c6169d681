"""A container engine as tests ask it: plain HTTP on its unix socket, with a deadline.

CALLBROKER_TEST_ENGINE=unix:///var/run/docker.sock names one that runs already, where a test only
needs some engine: that is for developing, where starting one each time would cost seconds.
"""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

EXISTING = "CALLBROKER_TEST_ENGINE"
ANSWER_DEADLINE_S = 30.0
IMPORT_DEADLINE_S = 300.0


class EngineTrouble(Exception):
    """The engine could not be started, did not answer, or said no; `str` says what to do."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ContainerEngine:
    """An engine that answers on a unix socket."""

    def __init__(self, socket_path: Path) -> None:
        self.socket = socket_path

    @property
    def url(self) -> str:
        """As clients want it: `unix:///…`."""
        return f"unix://{self.socket}"

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | BinaryIO | None = None,
        *,
        deadline_s: float = ANSWER_DEADLINE_S,
    ) -> Any:
        """One request of the engine's HTTP API, without a version; returns its JSON or its text.

        Raises:
            EngineTrouble: it said no (`code` is HTTP's), or was not there in time.
        """
        streamed = body is not None and not isinstance(body, Mapping)
        sent = json.dumps(body).encode() if isinstance(body, Mapping) else body
        kind = "application/x-tar" if streamed else "application/json"
        connection = _UnixConnection(self.socket, deadline_s)
        try:
            connection.request(method, path, sent, {"Content-Type": kind}, encode_chunked=streamed)
            answer = connection.getresponse()
            said = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as problem:
            raise EngineTrouble(f"{method} {path}: {problem!r}") from problem
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise EngineTrouble(f"{method} {path}: {answer.status} {said}", code=answer.status)
        with contextlib.suppress(ValueError):
            return json.loads(said)
        return said

    def import_root(self, tar: BinaryIO, *changes: str) -> str:
        """Makes an image of one layer from a tar of a root; `changes` are Dockerfile lines.

        Returns:
            Its id, "sha256:…".
        """
        wanted = urlencode([("fromSrc", "-"), *[("changes", change) for change in changes]])
        said = self.ask("POST", f"/images/create?{wanted}", tar, deadline_s=IMPORT_DEADLINE_S)
        last = said if isinstance(said, dict) else json.loads(said.strip().splitlines()[-1])
        if "error" in last:
            raise EngineTrouble(f"The engine did not take an image: {last['error']}")
        return str(last["status"])

    def containers(self, label: str = "") -> list[str]:
        """Ids of all containers, running or not, with this label."""
        filters = quote(json.dumps({"label": [label]} if label else {}))
        found = self.ask("GET", f"/containers/json?all=1&filters={filters}")
        return [each["Id"] for each in found]

    def remove_all(self, label: str = "") -> None:
        """Removes every container with this label, and its volumes."""
        for container in self.containers(label):
            with contextlib.suppress(EngineTrouble):
                self.ask("DELETE", f"/containers/{container}?force=1&v=1")


def existing() -> ContainerEngine | None:
    """The engine that CALLBROKER_TEST_ENGINE names; None where it names none."""
    url = os.environ.get(EXISTING)
    if not url:
        return None
    if not url.startswith("unix:///"):
        raise EngineTrouble(f"{EXISTING} is {url}: it must be unix:///…")
    return ContainerEngine(Path(url.removeprefix("unix://")))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, deadline_s: float) -> None:
        super().__init__("engine", timeout=deadline_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

"""Docker's client on a socket of this machine; one that finds nobody there leaves nothing open.

docker-py's own connection keeps its socket when it cannot connect, which an engine that is killed
at the wrong moment turns into a leak; so the connections below its session are ours.
"""

import socket
from collections.abc import Mapping
from typing import Any, Final

import docker
from docker.constants import MINIMUM_DOCKER_API_VERSION
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

SCHEME: Final = "unix://"
_PREFIX: Final = "http+docker://"  # of every address that docker-py asks on a socket


def client_at(url: str, *, timeout_s: float) -> docker.APIClient:
    """A client that speaks the engine's own version of the API.

    Args:
        url: `unix:///var/run/docker.sock`.
        timeout_s: of each wait for the engine, until `timeout` is set to another.

    Raises:
        DockerException, requests.RequestException: nothing answers there, or nothing usable.
    """
    with _client(url, MINIMUM_DOCKER_API_VERSION, timeout_s) as asking:
        version = asking.version(api_version=False)["ApiVersion"]
    return _client(url, version, timeout_s)


def knock(url: str, *, timeout_s: float) -> None:
    """Ask an engine on a new connection whether it is there; what it is, costs it programs to say.

    Raises:
        requests.RequestException: it takes no connection, or does not answer.
    """
    with _client(url, MINIMUM_DOCKER_API_VERSION, timeout_s) as asking:
        asking.get(f"{_PREFIX}localhost/_ping", timeout=timeout_s).raise_for_status()


def _client(url: str, version: str, timeout_s: float) -> docker.APIClient:
    client = docker.APIClient(base_url=url, version=version, timeout=timeout_s)
    client.trust_env = False  # no proxy of the environment stands before a socket
    client.mount(_PREFIX, _Adapter(url.removeprefix(SCHEME)))
    return client


class _Connection(HTTPConnection):
    def __init__(self, host: str, port: int | None = None, *, path: str, **settings: Any) -> None:
        super().__init__(host, port, **settings)
        self._path = path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        return connection


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    """Every request goes to one socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _Pool("localhost", path=path)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,  # noqa: ARG002 - as `requests` calls it
        verify: bool | str | None,  # noqa: ARG002, FBT001
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
        cert: tuple[str, str] | str | None = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        return self._pool

    def request_url(
        self,
        request: PreparedRequest,
        proxies: Mapping[str, str] | None,  # noqa: ARG002
    ) -> str:
        return str(request.path_url)

    def close(self) -> None:
        self._pool.close()
        super().close()

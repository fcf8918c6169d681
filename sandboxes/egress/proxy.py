"""A gate belongs to one container: closed until its call, open to what the call may ask, closed."""

from pathlib import Path

from sandboxes.egress.journal import EgressRequest
from sandboxes.egress.outside import Outside
from sandboxes.profile import Egress

SOCKET_NAME = "proxy.sock"


class EgressGate:
    """The proxy of one container, on a unix socket of its own.

    `await start()` before the container is made; `open` when its call is handed over; `await
    close()` when it is over. Once closed it stays closed.
    """

    def __init__(self, directory: Path, outside: Outside, *, peer_uid: int | None = None) -> None:
        """A gate that does not listen yet.

        Args:
            directory: made by `start`, removed by `close`; to be mounted read-only at
                /callbroker/egress. What is above it must be the node's alone (0700).
            outside: shared by all gates of the node.
            peer_uid: the container's, where the kernel tells it as it is (no user namespaces):
                others are refused. None: whoever reaches the socket.
        """
        self._directory = directory
        self._outside = outside
        self._peer_uid = peer_uid

    async def start(self) -> None:
        """Listen; every request is refused until `open`.

        Raises:
            OSError: the directory is there already, or what is above it is not private.
        """
        self._directory.mkdir(mode=0o755)

    def open(self, egress: Egress, input_json: bytes, subject: str) -> None:
        """Bind the rules to this call. Once only.

        Args:
            egress: of the profile.
            input_json: one JSON object, which templates read.
            subject: for whom; picks credentials that are kept per subject.

        Raises:
            ValueError: the input is not one JSON object.
            RuntimeError: not started, open already, or closed.
        """

    async def close(self) -> tuple[tuple[EgressRequest, ...], bool]:
        """Let nothing pass any more, cut what is under way, and remove the directory.

        Returns:
            Every request in the order they came, and whether the list stopped at its cap. Again
            the same when called again.
        """
        if self._directory.exists():
            self._directory.rmdir()
        return (), False

"""Every request that a run makes is written down, the refused ones too, in the order they came.

What is noted was chosen by the tool: it is cut to length and made printable before it is kept.
"""

from dataclasses import dataclass, replace
from typing import Any

TEXT_CHARACTERS_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRequest:
    """One request through the proxy.

    Attributes:
        at: seconds since the epoch.
        host: as the tool named it, in lower case; empty where none could be made out.
        path: without its query.
        address: that was connected to; empty where none was.
        allowed: False: refused, and nothing of it left the node. True from the moment on where the
            proxy begins to connect, whatever became of it.
        code: UPPER_SNAKE, of a refusal or of what cut an allowed one short; else empty.
        response_code: HTTP's status of the answer; 0 where there was none.
        sent_bytes, received_bytes: of bodies.
        credential: name of the one that was put in; empty for none.
    """

    at: float
    method: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    address: str = ""
    allowed: bool = False
    code: str = ""
    response_code: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    credential: str = ""


def printable(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """As ASCII without control characters, cut to length."""
    escaped = text[:characters_max].encode("unicode_escape", "replace").decode("ascii")
    return escaped[:characters_max]


class Journal:
    """The requests of one run."""

    def __init__(self, entries_max: int) -> None:
        """Empty, with room for so many."""
        self._entries: list[EgressRequest] = []
        self._entries_max = entries_max
        self.is_cut = False

    @property
    def requests(self) -> tuple[EgressRequest, ...]:
        """As noted so far, in the order they came."""
        return tuple(self._entries)

    def make_room(self, entries: int) -> None:
        """Take so many more from here on."""
        self._entries_max = len(self._entries) + entries

    def begin(self, at: float) -> "Entry":
        """A request has come. Past the cap it is not kept, and the journal says that it was cut."""
        if len(self._entries) >= self._entries_max:
            self.is_cut = True
            return Entry([EgressRequest(at=at)], 0)
        self._entries.append(EgressRequest(at=at))
        return Entry(self._entries, len(self._entries) - 1)


class Entry:
    """One request in a journal, while more of it becomes known."""

    def __init__(self, entries: list[EgressRequest], position: int) -> None:
        """The one that stands there."""
        self._entries = entries
        self._position = position

    @property
    def request(self) -> EgressRequest:
        """As noted so far."""
        return self._entries[self._position]

    def note(self, **known: Any) -> None:
        """Write down fields of `EgressRequest`; texts are made printable."""
        made: dict[str, Any] = {
            name: printable(value) if isinstance(value, str) else value
            for name, value in known.items()
        }
        self._entries[self._position] = replace(self.request, **made)

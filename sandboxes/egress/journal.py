"""Every request that a run makes is written down, the refused ones too, in the order they came.

What is noted was chosen by the tool: it is cut to length and made printable before it is kept.
"""

from dataclasses import dataclass

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

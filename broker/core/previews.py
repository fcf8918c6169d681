"""What a tool says that a call would change, before it runs: its words, bound to consent.

A preview is the answer of a read-only tool of the same worker (`{tool}.preview`), in an invocation
of its own. Its text is untrusted. Its digest is among what an approval is for: before the effect it
is asked again, and another answer sends the hold back.
"""

from dataclasses import dataclass
from typing import Final

PREVIEW_SUFFIX: Final = ".preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What was answered, or why nothing was.

    Attributes:
        invocation: `invocations/{uuid}` of the preview itself.
        content: RFC 8785 bytes of the answer; empty where there is none.
        digest: "sha256:" of the content; empty where there is none.
        error: why there is none: a code such as RUNNER_UNAVAILABLE; else empty.
        at: when it was asked, POSIX seconds.
    """

    invocation: str
    content: bytes = b""
    digest: str = ""
    error: str = ""
    at: float

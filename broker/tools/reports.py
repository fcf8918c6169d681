"""What an agent's process says of a call: what it means, and how it is kept where it came in.

Its digest is keyed with the permit's token. So two reports are told from each other without either
being kept, and one that is kept is shown to be whose it is. What nobody reads of a report is cut
off first: it is the same report before and after.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, assert_never

from broker.core import limits
from broker.core.caller_word import RECONCILED
from broker.core.inspection import TOOL_FAILED
from broker.ports import Failed, Lost, Outcome, Succeeded

_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}", re.ASCII)
_END: Final = "\0"
_NAME_CHARACTERS_MAX: Final = 101  # more than any code or class that is taken as one


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The tool's code raised. `kind` is the name of the error's class, as it was said."""

    kind: str


Report = Succeeded | Failed | Raised


def outcome_of(report: Report, *, read_only: bool) -> Outcome:
    """What a report means: FAILED is only what surely had no effect."""
    match report:
        case Succeeded():
            return report
        case Failed(code=code, message=message):
            # What a Person said of a call is not for its agent to say.
            return Failed(code=TOOL_FAILED if code == RECONCILED else code, message=message)
        case Raised(kind=kind):
            named = kind if _CLASS.fullmatch(kind) else "an error"
            if read_only:
                return Failed(code=TOOL_FAILED, message=f"The tool raised {named}.")
            return Lost(why=f"the tool raised {named}, the agent's process says")


def written(report: Report) -> bytes:
    """A report as it is kept; of a result that is too long so much that it is."""
    match _bounded(report):
        case Succeeded(result_json=result):
            return b"succeeded\0" + result
        case Failed(code=code, message=message):
            # No code has a NUL: what stands in its place is none either.
            return f"failed\0{code.replace(_END, '?')}\0{message}".encode(errors="replace")
        case Raised(kind=kind):
            return f"raised\0{kind}".encode(errors="replace")
        case other:
            assert_never(other)


def read(body: bytes) -> Report | None:
    """What was written; None where it was not."""
    how, _, said = body.partition(b"\0")
    if how == b"succeeded":
        return Succeeded(result_json=said)
    text = said.decode(errors="replace")
    if how == b"failed":
        code, _, message = text.partition(_END)
        return Failed(code=code, message=message)
    return Raised(kind=text) if how == b"raised" else None


def digest_of(body: bytes, token: str) -> bytes:
    """Of a written report, keyed with the token of the permit that it was said with."""
    return hmac.digest(token.encode(), body, hashlib.sha256)


def _bounded(report: Report) -> Report:
    """Without what would be cut off, or withheld as a whole, in any case."""
    match report:
        case Succeeded(result_json=result):
            return Succeeded(result_json=result[: limits.RESULT_BYTES_MAX + 1])
        case Failed(code=code, message=message):
            message = message[: limits.TOOL_MESSAGE_CHARACTERS_MAX]
            return Failed(code=code[:_NAME_CHARACTERS_MAX], message=message)
        case Raised(kind=kind):
            return Raised(kind=kind[:_NAME_CHARACTERS_MAX])

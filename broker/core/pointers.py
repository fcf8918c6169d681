"""A pointer names at most one value, and looking it up never guesses (RFC 6901).

A reference is a pointer with the document that it points into: `/order_id` into the arguments of
the call, `order#/captured_minor` into the fact `order`, `principal#/id` into the caller. After a
`#` the pointer is a URI fragment, where `%20` is a space (RFC 6901 §6); a bare one stands as it is.
"""

import enum
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

from broker.core.arguments import JsonValue


class Missing(enum.Enum):
    """The type of `MISSING`, so that it can be told from every JSON value, null included."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Pointer:
    """A JSON Pointer. `tokens` are unescaped; none of them means the whole document."""

    tokens: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `""` or `/a/0/b~1c`.

        Raises:
            ValueError: it does not begin with a slash, or a `~` is not followed by 0 or 1.
        """
        if not text:
            return cls()
        if not text.startswith("/"):
            raise ValueError("A JSON Pointer is empty or begins with a slash.")
        if _LOOSE_TILDE.search(text):
            raise ValueError("In a JSON Pointer, ~ is written ~0 and / is written ~1.")
        # §4: ~1 first, so that ~01 becomes ~1 and not a slash.
        return cls(
            tuple(t.replace("~1", "/").replace("~0", "~") for t in text[1:].split("/")),
        )

    def resolve(self, value: JsonValue) -> JsonValue | Missing:
        """Look up the value named, or MISSING: no such key or index, or nothing to look into.

        An index has no sign and no leading zero (§4); `-`, one past the end, names nothing.
        """
        for token in self.tokens:
            if isinstance(value, dict):
                if token not in value:
                    return MISSING
                value = value[token]
            elif isinstance(value, list):
                if not _INDEX.fullmatch(token) or int(token) >= len(value):
                    return MISSING
                value = value[int(token)]
            else:
                return MISSING
        return value

    def __truediv__(self, token: str | int) -> "Pointer":
        return Pointer((*self.tokens, str(token)))

    def __str__(self) -> str:
        return "".join(f"/{t.replace('~', '~0').replace('/', '~1')}" for t in self.tokens)


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in the arguments (`root` is ""), a fact (its name), principal, session or agent."""

    root: str
    pointer: Pointer

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/order_id` or `order#/customer_id`; `order#` is the whole of it.

        Raises:
            ValueError: neither form, a root that is no name (lower case, digits, underscores), or a
                broken pointer. A bare "" is refused: it is a thing left out, not all arguments.
        """
        if text.startswith("/"):
            return cls("", Pointer.parse(text))
        root, mark, fragment = text.partition("#")
        if not mark or not _ROOT.fullmatch(root):
            raise ValueError("A reference is written /name or fact#/name.")
        if _LOOSE_PERCENT.search(fragment):
            raise ValueError("After #, a percent sign is written %25.")
        return cls(root, Pointer.parse(unquote(fragment, errors="strict")))

    def __str__(self) -> str:
        if not self.root:
            return str(self.pointer)
        escaped = _NOT_IN_FRAGMENT.sub(lambda m: f"%{ord(m[0]):02X}", str(self.pointer))
        return f"{self.root}#{escaped}"


_LOOSE_TILDE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_ROOT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LOOSE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# ASCII that a fragment has no place for (RFC 3986 §3.5); other letters stay readable, as in an IRI.
_NOT_IN_FRAGMENT: Final = re.compile(r"[\x00-\x20\"#%<>\[\\\]^`{|}\x7f]")

"""What looks like a credential, a card, an account, a mailbox or a link is found in linear time.

A tool's result is hostile, so nothing here goes back over what it has read. A text is searched for
the few characters that give a thing away; around each there is one bounded or possessive match; and
who sends more of them than anybody writes has sent too much. What is found is what says so by its
form or its check digits: who hides a secret from this hides it. It keeps honest systems' secrets
out of a model's sight, and is no wall against a dishonest one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

CANDIDATES_MAX: Final = 10_000
"""Of one result: places that may be something and have to be looked at."""

Span = tuple[int, int]
Look = Callable[[str, int], Span | None]

_DIGITS_MIN, _DIGITS_MAX = 13, 19  # of a card's number (ISO/IEC 7812-1)
_SCHEME_MAX: Final = 16
_LOCAL_MAX: Final = 64  # RFC 5321 section 4.5.3.1.1
_NAME_MAX: Final = 32
_END: Final = r"[^\s<>\"'`)\]]*+"

# Members of an object whose text is a credential, whatever it looks like; folded as in `tells`.
_TELLING: Final = frozenset(
    {
        *("password", "passwd", "passphrase", "secret", "clientsecret", "secretkey"),
        *("secretaccesskey", "apikey", "accesstoken", "refreshtoken", "privatekey"),
        *("authorization", "credential", "credentials"),
    }
)
# ISO 13616: how long an account's number is, by country.
_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
    25: "AO CV LY MZ PT ST",
    26: "IR IS TR",
    27: "BF BJ CF CG CI CM DJ FR GA GQ GR IT KM MC MG ML MR NE SM SN TD TG",
    28: "AL AZ BI BY CY DO GT HN HU LB MA NI PL SV UA",
    29: "BR EG PS QA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_ACCOUNT_LENGTHS: Final = {
    country: length for length, countries in _COUNTRIES.items() for country in countries.split()
}


class TooMuchToLookAt(Exception):
    """More of it looks like something than anybody writes: it was made to be looked at for long."""


@dataclass(slots=True)
class Detector:
    """Finds what it is for in one result; it counts what it had to look at.

    Attributes:
        kinds: some of `KINDS`.
        candidates: what it has looked at so far, at most `CANDIDATES_MAX`.
    """

    kinds: frozenset[str]
    candidates: int = 0

    def spans(self, text: str) -> list[Span]:
        """Where in a text something is, as (first, after last), in order, none overlapping.

        Raises:
            TooMuchToLookAt: in all texts so far.
        """
        joined: list[Span] = []
        for first, after in sorted(self._found(text)):
            if joined and first < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], after))
            else:
                joined.append((first, after))
        return joined

    def _found(self, text: str) -> Iterator[Span]:
        lowered = text.translate(_LOWER)
        for kind in self.kinds:
            for hint, look in _KINDS[kind]:
                at = _next(hint, lowered, 0)
                while at >= 0:
                    self.candidates += 1
                    if self.candidates > CANDIDATES_MAX:
                        raise TooMuchToLookAt
                    span = look(text, at)
                    if span is not None:
                        yield span
                    at = _next(hint, lowered, max(at + 1, span[1] if span else 0))


def tells(member: str) -> bool:
    """Whether a member of an object holds a credential by its name."""
    if len(member) > _NAME_MAX:
        return False
    return "".join(c for c in member.casefold() if c.isalnum()) in _TELLING


def _next(hint: str | re.Pattern[str], text: str, at: int) -> int:
    if isinstance(hint, str):
        return text.find(hint, at)
    match = hint.search(text, at)
    return match.start() if match else -1


def _match(pattern: str) -> Look:
    """A look for a pattern that begins where its hint is."""
    compiled = re.compile(pattern)

    def look(text: str, at: int) -> Span | None:
        match = compiled.match(text, at)
        return match.span() if match else None

    return look


def _card(text: str, at: int) -> Span | None:
    """Groups of digits whose check digit is right (ISO/IEC 7812-1 annex B)."""
    match = _CARD.match(text, at)
    if match is None:
        return None
    digits = [int(digit) for digit in match.group() if digit.isdecimal()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    fits = _DIGITS_MIN <= len(digits) <= _DIGITS_MAX and any(digits)
    return match.span() if fits and (sum(digits[-1::-2]) + doubled) % 10 == 0 else None


def _account(text: str, at: int) -> Span | None:
    """An account's number (ISO 13616), of its country's length, whose check digits are right."""
    match = _ACCOUNT.match(text, at)
    if match is None:
        return None
    found = match.group()
    wanted = _ACCOUNT_LENGTHS.get(found[:2], 0)
    places = [place for place, character in enumerate(found) if character != " "][:wanted]
    if not wanted or len(places) < wanted:
        return None
    after = places[-1] + 1
    compact = "".join(found[place] for place in places)
    number = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    is_whole = not text[at + after : at + after + 1].isalnum()
    return (at, at + after) if is_whole and int(number) % 97 == 1 else None


def _mailbox(text: str, at: int) -> Span | None:
    domain = _DOMAIN.match(text, at + 1)
    local = _LOCAL.match(text[max(0, at - _LOCAL_MAX) : at][::-1])
    return (at - local.end(), domain.end()) if domain and local else None


def _link(text: str, at: int) -> Span | None:
    """What has two slashes: after a scheme, or before a host."""
    if at and text[at - 1] == ":":
        scheme = _SCHEME.match(text[max(0, at - 1 - _SCHEME_MAX) : at - 1][::-1])
        # Without a scheme nothing is passed, and what follows must not be read again and again.
        rest = _REST.match(text, at) if scheme else None
        return (at - 1 - scheme.end(), rest.end()) if scheme and rest else None
    host = _HOST.match(text, at)
    return host.span() if host else None


_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_CARD: Final = re.compile(
    r"(?:[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})(?![0-9])"
)
_ACCOUNT: Final = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}")
_LOCAL: Final = re.compile(r"[\w.%+'-]{1,64}")
_DOMAIN: Final = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_SCHEME: Final = re.compile(r"[A-Za-z0-9+.-]{0,15}[A-Za-z]")
_REST: Final = re.compile(rf"//{_END}")
_HOST: Final = re.compile(rf"(?<![\w:/])//(?=[\w-]{{1,63}}\.){_END}")
_RUN: Final = r"[A-Za-z0-9_-]"
_APART: Final = r"(?<![A-Za-z0-9])"
_KINDS: Final[dict[str, tuple[tuple[str | re.Pattern[str], Look], ...]]] = {
    "secrets": (
        (
            "-----begin ",
            _match(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[A-Za-z0-9+/=: \t\r\n,.-]*+)"),
        ),
        # A JSON Web Token (RFC 7519): two objects in base64url and a signature.
        (
            re.compile(rf"(?<!{_RUN})eyj"),
            _match(rf"eyJ{_RUN}{{8,}}+\.eyJ{_RUN}{{8,}}+\.{_RUN}*+"),
        ),
        ("akia", _match(rf"{_APART}AKIA[A-Z0-9]{{16}}(?![A-Za-z0-9])")),
        ("asia", _match(rf"{_APART}ASIA[A-Z0-9]{{16}}(?![A-Za-z0-9])")),
        *((f"gh{a}_", _match(rf"{_APART}gh{a}_[A-Za-z0-9]{{36,}}+")) for a in "pousr"),
        ("github_pat_", _match(rf"{_APART}github_pat_[A-Za-z0-9_]{{22,}}+")),
        ("glpat-", _match(rf"{_APART}glpat-{_RUN}{{20,}}+")),
        ("xox", _match(rf"{_APART}xox[abeoprs]-[A-Za-z0-9-]{{10,}}+")),
        ("k_live_", _match(r"(?<=[rs])k_live_[A-Za-z0-9]{16,}+")),
        ("k_test_", _match(r"(?<=[rs])k_test_[A-Za-z0-9]{16,}+")),
        ("sk-", _match(rf"{_APART}sk-{_RUN}{{20,}}+")),
        ("aiza", _match(rf"{_APART}AIza{_RUN}{{35}}")),
        ("npm_", _match(rf"{_APART}npm_[A-Za-z0-9]{{36}}")),
        ("pypi-", _match(rf"{_APART}pypi-{_RUN}{{50,}}+")),
        ("hf_", _match(rf"{_APART}hf_[A-Za-z0-9]{{30,}}+")),
        ("cb_", _match(rf"{_APART}cb_[a-z]{{1,16}}_{_RUN}{{32,}}+")),
        ("bearer ", _match(rf"{_APART}(?i:bearer) {{1,4}}[A-Za-z0-9._~+/-]{{20,}}+")),
        # A password in an address.
        ("://", _match(r"://[^\s/@:]{1,64}+:[^\s/@]{1,128}+(?=@)")),
    ),
    "cards": ((re.compile(r"(?<![0-9])[0-9]{4}(?=[0-9]{9}|[ -][0-9]{4})"), _card),),
    "accounts": ((re.compile(r"(?<![a-z0-9])[a-z]{2}[0-9]{2}(?= ?[a-z0-9]{4})"), _account),),
    "mailboxes": (("@", _mailbox),),
    "links": (
        ("//", _link),
        ("www.", _match(rf"(?<![\w.-])(?i:www)\.(?=[\w-]){_END}")),
        *(
            (f"{scheme}:", _match(rf"(?<![\w.-])(?i:{scheme}):(?=\S){_END}"))
            for scheme in ("data", "javascript", "mailto", "vbscript")
        ),
    ),
}
KINDS: Final = frozenset(_KINDS)

"""SQL of a fact is one statement that only reads, and values reach it as parameters alone.

These checks read text, so that a mistake is told when a manifest is written. What makes a source
read-only in earnest is how it is opened (`facts.sql`).
"""

import re
from typing import Final

# A statement that begins with SELECT or WITH can still write by these (and lock, by UPDATE).
_WRITES: Final = frozenset({"delete", "insert", "into", "merge", "update"})
# What may hold a colon or a semicolon that means nothing.
_INERT: Final = re.compile(
    r"'(?:[^']|'')*' | \"(?:[^\"]|\"\")*\" | `[^`]*` | --[^\n]* | /\*.*?\*/",
    re.VERBOSE | re.DOTALL,
)
# As SQLAlchemy's text() finds them: `::` is PostgreSQL's cast.
_PARAMETER: Final = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_EXPANDING: Final = re.compile(r"\bIN\s*:(\w+)", re.IGNORECASE)


def parameters(sql: str) -> frozenset[str]:
    """The names that are bound, `:name` each."""
    return frozenset(_PARAMETER.findall(_bare(sql)))


def expanding(sql: str) -> frozenset[str]:
    """The parameters that take an array: those written `IN :name`."""
    return frozenset(_EXPANDING.findall(_bare(sql)))


def findings(sql: str) -> tuple[str, ...]:
    """What keeps the text from being one statement that only reads; empty where nothing does."""
    bare = _bare(sql)
    words = [word.lower() for word in _WORD.findall(_PARAMETER.sub(" ", bare))]
    found = []
    if not words or words[0] not in {"select", "with"} or "select" not in words:
        found.append("begin with SELECT or WITH: a fact only reads")
    if writing := sorted(_WRITES & set(words)):
        found.append(f"leave out {', '.join(w.upper() for w in writing)}: a fact only reads")
    if ";" in bare.rstrip().removesuffix(";"):
        found.append("keep to one statement: there is a semicolon inside it")
    if any(mark in bare for mark in ("'", '"', "`", "/*")):
        found.append("close every quote and comment")
    if set(_PARAMETER.findall(sql)) != set(_PARAMETER.findall(bare)) or "\\:" in sql:
        found.append("write no :name in a string or comment: it would be taken for a parameter")
    return tuple(found)


def _bare(sql: str) -> str:
    return _INERT.sub(" ", sql)

"""A fenced `console` block is commands and what they print; it is run, and its output compared.

What differs from run to run is compared loosely: names such as `h-4db6a5f2` only have to be the
same name wherever the page has the same one; clocks, lengths of time, digests, ports and how many
spaces there are do not count. `…` stands for any text, and alone on a line for any lines.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.docs.pages import Block

_PROMPT: Final = "$ "
_EXIT_CODE: Final = re.compile(r"\s+\(exit code (\d+)\)$")

_CLOCK: Final = r"(?:\d{1,2} [A-Z][a-z]{2} )?\d\d:\d\d(?::\d\d)?"
_LENGTH: Final = r"\d+ (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?"

# What may differ, as the page has it, and what then may be there instead.
_LOOSE: Final[Mapping[str, str]] = {
    r"is CLAIMED, the call is RUNNING": (
        r"is (?:APPROVED|CLAIMED), the call is (?:HELD|RUNNING|SUCCEEDED)"
    ),
    r"127\.0\.0\.1:\d+": r"127\.0\.0\.1:\d+",
    rf"\b{_CLOCK}\b": _CLOCK,
    rf"\b{_LENGTH}\b": _LENGTH,
    r"\b\d+ entries\b": r"\d+ entries",
    r"\b\d+ lines\b": r"\d+ lines",
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": r"[0-9a-f-]{36}",
    r"\b[0-9a-f]{8,}\b": r"[0-9a-f]{8,}",
    r"…": r".*",
    r" +": r" +",
}
_NAME: Final = re.compile(r"\b[a-z]-[0-9a-f]{8}\b")
_TOKEN: Final = re.compile("|".join((f"(?P<name>{_NAME.pattern})", *_LOOSE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a page, and what the page says that it prints."""

    command: str
    expected: str
    exit_code: int
    line: int


@dataclass(slots=True)
class Names:
    """The names on the page, and those of this run in their place."""

    met: dict[str, str] = field(default_factory=dict)

    def translate(self, text: str) -> str:
        """A command of the page, with the names of this run."""
        return _NAME.sub(lambda found: self.met.get(found[0], found[0]), text)

    def match(self, expected: str, printed: str) -> bool:
        """Whether a run printed what the page says; if so, its names are remembered."""
        pattern, new = self._pattern(expected)
        found = re.fullmatch(pattern, _tidy(printed))
        if found is None:
            return False
        self.met.update({name: found[group] for name, group in new.items()})
        return True

    def _pattern(self, expected: str) -> tuple[str, dict[str, str]]:
        new: dict[str, str] = {}
        lines = [
            r"(?:.*\n)*?" if line == "…" else self._line(line, new) + r"\n"
            for line in _tidy(expected).splitlines()
        ]
        return "".join(lines), new

    def _line(self, line: str, new: dict[str, str]) -> str:
        pieces, end = [], 0
        for found in _TOKEN.finditer(line):
            pieces += [re.escape(line[end : found.start()]), self._piece(found, new)]
            end = found.end()
        return "".join((*pieces, re.escape(line[end:])))

    def _piece(self, found: re.Match[str], new: dict[str, str]) -> str:
        if found["name"] is None:
            return next(to for of, to in _LOOSE.items() if re.fullmatch(of, found[0]))
        name = found["name"]
        if name in self.met:
            return re.escape(self.met[name])
        if name in new:
            return f"(?P={new[name]})"
        new[name] = f"name_{len(new)}"
        return f"(?P<{new[name]}>{name[0]}-[0-9a-f]{{8}})"


def steps(block: Block) -> list[Step]:
    """The commands of a block; what comes before the first is no command's."""
    found: list[Step] = []
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(_PROMPT)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        command, body = lines[start].removeprefix(_PROMPT), start + 1
        while command.endswith("\\"):
            command, body = command[:-1] + lines[body].strip(), body + 1
        code = _EXIT_CODE.search(command)
        found.append(
            Step(
                command=_EXIT_CODE.sub("", command),
                expected="\n".join(lines[body:end]),
                exit_code=int(code[1]) if code else 0,
                line=block.line + 1 + start,
            )
        )
    return found


def _tidy(text: str) -> str:
    """Without empty lines and the blanks at the ends of others."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line.strip())

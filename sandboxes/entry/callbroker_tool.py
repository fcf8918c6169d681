"""What a tool in a sandbox may use of its surroundings: its files, a way to fail, a way out.

A tool is `tool.py` with `def run(call, **arguments)`, which returns one JSON value. It imports this
module as `callbroker_tool`. What it prints goes to the node's log, capped, and to nobody else.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and pathlib cost a waiting container memory
    from pathlib import Path
    from typing import Any


class ToolFailed(Exception):
    """The tool says that it did not do what it was asked; the model reads `code` and `message`.

    Args:
        code: UPPER_SNAKE, at most 64 characters.
        message: one sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Call:
    """The one call that this container is for.

    Attributes:
        work: the one place that may be written to.
        file_names: of what was handed in, in the order of the manifest's `files.in`.
    """

    def __init__(self, work: str, file_names: "tuple[str, ...]") -> None:
        self.work = work
        self.file_names = file_names

    @property
    def files(self) -> "tuple[Path, ...]":
        """Where each file that was handed in lies, in the same order."""
        from pathlib import Path  # noqa: PLC0415 - see above

        return tuple(Path(self.work, "in", name) for name in self.file_names)

    @property
    def out(self) -> "Path":
        """A directory: plain files that lie in it at the end become the answer's files."""
        from pathlib import Path  # noqa: PLC0415 - see above

        return Path(self.work, "out")


_ELSEWHERE = {
    "fetch": "egress_client",
    "Answer": "egress_client",
    "EgressRefused": "egress_client",
    "run_child": "child",
    "Ended": "child",
}


def __getattr__(name: str) -> "Any":
    """What not every tool needs is loaded by whoever asks for it, by importing it from here."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see above

    return getattr(importlib.import_module(f"sandboxes.entry.{_ELSEWHERE[name]}"), name)

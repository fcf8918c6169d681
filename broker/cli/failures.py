"""A command that fails says what happened and what to do, in a line, and its exit code says how."""

import enum


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    INTERRUPTED = 130


class CommandFailed(Exception):
    """The command could not do what it was asked.

    Attributes:
        exit_code: how it ended.
        findings: one line each, below the sentence.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode = ExitCode.NO,
        findings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.findings = findings

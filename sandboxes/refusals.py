"""Why a node does not do what it is asked, each reason with its gRPC code; nothing ran then."""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final


class Reason(StrEnum):
    """Machine-readable; the ErrorInfo's reason."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    UNKNOWN_PROFILE = auto()
    PROFILE_CHANGED = auto()
    PROFILE_UNAVAILABLE = auto()
    IMAGE_NOT_BY_DIGEST = auto()
    IMAGE_NOT_FOUND = auto()
    IMAGE_REFUSED = auto()
    NO_ROOM = auto()
    ENGINE_UNAVAILABLE = auto()
    BAD_REQUEST = auto()
    UNKNOWN_RUN = auto()


CODES: Final[Mapping[Reason, str]] = {
    Reason.UNKNOWN_PROFILE: "NOT_FOUND",
    Reason.PROFILE_CHANGED: "FAILED_PRECONDITION",
    Reason.PROFILE_UNAVAILABLE: "FAILED_PRECONDITION",
    Reason.IMAGE_NOT_BY_DIGEST: "INVALID_ARGUMENT",
    Reason.IMAGE_NOT_FOUND: "NOT_FOUND",
    Reason.IMAGE_REFUSED: "FAILED_PRECONDITION",
    Reason.NO_ROOM: "RESOURCE_EXHAUSTED",
    Reason.ENGINE_UNAVAILABLE: "UNAVAILABLE",
    Reason.BAD_REQUEST: "INVALID_ARGUMENT",
    Reason.UNKNOWN_RUN: "NOT_FOUND",
}
"""Names of gRPC codes."""


class Refused(Exception):
    """Nothing ran and nothing will; `str` is one sentence that says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

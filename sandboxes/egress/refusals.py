"""What the proxy refuses it refuses with one code, one sentence, and a status of HTTP."""


class EgressRefused(Exception):
    """A request does not pass, or is cut.

    Attributes:
        code: UPPER_SNAKE.
        status: of the answer that the tool gets, where it has got none yet.
    """

    def __init__(self, code: str, message: str, *, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

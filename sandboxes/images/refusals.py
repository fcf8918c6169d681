"""Why no image was built, in words for whoever asked."""


class BuildRefused(Exception):
    """Nothing was built; `str` is one sentence that says what to do, `findings` the details."""

    def __init__(self, message: str, *, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings

"""The settings of what is told to those who watch the broker: `[metrics]` and `[traces]`."""

from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.settings_checks import require_https, require_safe_listen, require_tls_pair


class Metrics(BaseModel):
    """Figures for Prometheus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(
        default="",
        description="Address and port of the figures for Prometheus, 127.0.0.1:9464. Anything but "
        "loopback needs TLS. Empty: none.",
    )
    tls_certificate_file: Path | None = Field(default=None, description="PEM chain of that.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of that.")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        require_tls_pair(self.tls_certificate_file, self.tls_key_file)
        if self.listen:
            has_tls = self.tls_certificate_file is not None
            require_safe_listen(self.listen, has_tls=has_tls, such_as="127.0.0.1:9464")
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """With paths as `at` makes them."""
        return self.model_copy(
            update={
                "tls_certificate_file": at(self.tls_certificate_file),
                "tls_key_file": at(self.tls_key_file),
            }
        )


class Traces(BaseModel):
    """Where the time of calls goes, for OpenTelemetry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        default="",
        description="Where to POST spans to (OTLP over HTTP, protobuf), "
        "http://127.0.0.1:4318/v1/traces. Anything but loopback needs https. Empty: nowhere.",
    )
    ratio: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Of all calls, how many are told of; agents have no say in which.",
    )
    token_file: Path | None = Field(
        default=None, description="Bearer token that is shown to `traces.url`."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM of who signs the certificate of `traces.url`; those of the system where "
        "left out.",
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.url:
            return self
        if "@" in self.url:
            raise ValueError("url has a user or a password in it: use token_file")
        require_https("url", self.url)
        parts = urlsplit(self.url)
        if parts.path in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(f"url = {self.url!r} ends in a path, such as /v1/traces, and no more")
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """With paths as `at` makes them."""
        return self.model_copy(
            update={"token_file": at(self.token_file), "ca_file": at(self.ca_file)}
        )

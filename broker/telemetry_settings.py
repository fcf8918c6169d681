"""The settings of what is told to those who watch the broker: `[metrics]` and `[traces]`."""

from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.core.addresses import is_https_or_here, listens_here_alone


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
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file come together")
        if not self.listen:
            return self
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"listen = {self.listen!r} is not an address such as 127.0.0.1:9464")
        if not listens_here_alone(self.listen) and self.tls_certificate_file is None:
            raise ValueError(
                f"listen = {self.listen!r} is reachable from elsewhere and needs "
                "tls_certificate_file and tls_key_file"
            )
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
        if not is_https_or_here(self.url):
            raise ValueError(
                f"url = {self.url!r} is no https address; plain http is for loopback alone"
            )
        parts = urlsplit(self.url)
        if parts.path in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(f"url = {self.url!r} ends in a path, such as /v1/traces, and no more")
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """With paths as `at` makes them."""
        return self.model_copy(
            update={"token_file": at(self.token_file), "ca_file": at(self.ca_file)}
        )

"""The settings of what is told to those who watch the broker: `[metrics]` in the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.core.addresses import listens_here_alone


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

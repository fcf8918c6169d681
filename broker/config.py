"""One file and environment variables; every setting has a safe default and one sentence.

`callbroker.toml` in the working directory, or the file that CALLBROKER_CONFIG names; each setting
can also come from the environment as CALLBROKER_{NAME}, which wins. An unknown key is an error, and
all problems are reported at once. Relative paths are relative to the file's directory.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from broker.core.limits import EXCLUSIVE_WAIT_S, HOLD_DECIDE_WITHIN_S, HOLD_RUN_WITHIN_S
from broker.fairness_settings import Fair
from broker.jwt_settings import Jwt, require_one_each
from broker.notify_settings import Notify, require_distinct
from broker.settings_checks import require_https, require_safe_listen, require_tls_pair
from broker.telemetry_settings import Metrics, Traces
from broker.web_settings import Oidc, Web

CONFIG_NAME = "callbroker.toml"
UNIX = "unix:"


class ConfigurationRefused(Exception):
    """The settings cannot be used; `findings` has one sentence for each problem."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class Source(BaseModel):
    """A system of record that facts look things up in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="sqlite:///path, opened read-only; or the http(s) origin "
        "that fact URLs must start with.",
    )
    bearer_token: SecretStr | None = Field(
        default=None,
        description="Sent with HTTP look-ups as Authorization: Bearer.",
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.url.startswith("http:"):
            require_https("url", self.url)
        return self


class ReviewTerms(BaseModel):
    """What lifting a hold takes where the broker itself holds a call, not a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewers: tuple[str, ...] = Field(default=("reviewers",), description="Groups.")
    approvals_required: int = Field(default=1, ge=1, le=10, description="Distinct Persons.")
    decide_within_s: int = Field(
        default=HOLD_DECIDE_WITHIN_S, ge=1, description="Seconds until it expires."
    )
    run_within_s: int = Field(
        default=HOLD_RUN_WITHIN_S, ge=1, description="Seconds that an approval lasts."
    )


class Sandboxes(BaseModel):
    """Where tools of `runner: sandbox` run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: tuple[str, ...] = Field(
        default=(),
        description="Addresses of `callbroker sandboxd`: unix:PATH, or host:port over mutual TLS. "
        "Without any, no tool runs in a sandbox.",
    )
    tls_ca_file: Path | None = Field(
        default=None, description="PEM of who signs the certificates of nodes elsewhere."
    )
    tls_certificate_file: Path | None = Field(
        default=None, description="PEM chain that this broker shows to nodes elsewhere."
    )
    tls_key_file: Path | None = Field(default=None, description="PEM key of that.")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if len(set(self.nodes)) != len(self.nodes):
            raise ValueError("nodes: name each once")
        for node in self.nodes:
            self._require_safe(node)
        files = (self.tls_ca_file, self.tls_certificate_file, self.tls_key_file)
        if any(files) and not all(files):
            raise ValueError("tls_ca_file, tls_certificate_file and tls_key_file come together")
        return self

    def _require_safe(self, node: str) -> None:
        if node.startswith(UNIX) and node.removeprefix(UNIX).strip("/"):
            return
        host, _, port = node.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise ValueError(
                f"nodes: {node!r} is not an address such as unix:/run/callbroker/sandboxd.sock "
                "or sandboxes.example.com:7410"
            )
        if self.tls_ca_file is None:
            raise ValueError(
                f"nodes: {node!r} is not a unix socket, and needs tls_ca_file, "
                "tls_certificate_file and tls_key_file"
            )


class Settings(BaseSettings):
    """How one broker runs."""

    model_config = SettingsConfigDict(
        env_prefix="CALLBROKER_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    listen: str = Field(
        default="127.0.0.1:7400",
        description="Address and port of the gRPC services. Anything but loopback needs TLS.",
    )
    advertise: str = Field(
        default="",
        description="host:port where workers reach this broker, of several on one database; "
        "`listen` where left out.",
    )
    listen_to_brokers: bool = Field(
        default=True,
        description="Whether to LISTEN for what other brokers on the database tell; else it polls.",
    )
    tls_certificate_file: Path | None = Field(default=None, description="PEM chain of the server.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of the server.")
    tls_client_ca_file: Path | None = Field(
        default=None,
        description="PEM of who signs the certificates of clients: then each shows one, beside its "
        "token or, where its credential says so, instead.",
    )
    state: Path = Field(
        default=Path("state"),
        description="Directory, mode 0700: audit keys, signed heads, tokens of this machine.",
    )
    database: str = Field(
        default="",
        description="sqlite:///path, or postgresql://user@host/name; "
        "sqlite:///{state}/callbroker.db where left out.",
    )
    tools: Path | None = Field(
        default=None,
        description="Directory of manifests that `serve --watch` reloads.",
    )
    policies: Path | None = Field(
        default=None,
        description="Directory of rule families of one's own, beside the shipped ones.",
    )
    directory: Path | None = Field(
        default=None,
        description="File of known people and places, or a directory of such files, that "
        "`serve --watch` reloads.",
    )
    preset: str = Field(default="balanced", description="Parameters of the shipped families.")
    opa: Path | None = Field(
        default=None,
        description="The opa binary; found on PATH or where `callbroker opa install` puts it.",
    )
    opa_url: str = Field(default="", description="A remote OPA instead of a supervised child.")
    opa_token_file: Path | None = Field(default=None, description="Bearer token for opa_url.")
    opa_ca_file: Path | None = Field(default=None, description="CA of opa_url's certificate.")
    sources: Mapping[str, Source] = Field(
        default_factory=dict,
        description="Systems of record, by the name that manifests use.",
    )
    jwt: tuple[Jwt, ...] = Field(
        default=(),
        max_length=10,
        description="Whose access tokens are taken beside the broker's own; each a section "
        "`[[jwt]]`.",
    )
    review: ReviewTerms = Field(
        default_factory=ReviewTerms,
        description="Terms of holds that the broker itself opens.",
    )
    web: Web = Field(default_factory=Web, description="The review pages.")
    notify: tuple[Notify, ...] = Field(
        default=(),
        max_length=20,
        description="Whom to tell of holds, and how; each a section `[[notify]]`.",
    )
    sandboxes: Sandboxes = Field(
        default_factory=Sandboxes,
        description="Where tools of `runner: sandbox` run.",
    )
    fairness: Fair = Field(
        default_factory=Fair,
        description="What one agent, principal, session or credential may have.",
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Figures for Prometheus.")
    traces: Traces = Field(
        default_factory=Traces, description="Where the time of calls goes, for OpenTelemetry."
    )
    exclusive_wait_s: float = Field(
        default=EXCLUSIVE_WAIT_S,
        ge=0,
        le=60,
        description="How long a call waits for another one on the same exclusive key.",
    )
    drain_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Seconds that calls under way have to end once the broker is told to stop.",
    )
    reflection: bool = Field(default=True, description="Whether gRPC reflection is served.")
    log_format: Literal["console", "json"] = Field(
        default="console",
        description="For a person or for a log collector; to standard error.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least that is logged.",
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        require_tls_pair(self.tls_certificate_file, self.tls_key_file)
        if self.tls_client_ca_file is not None and self.tls_certificate_file is None:
            raise ValueError("tls_client_ca_file needs tls_certificate_file and tls_key_file")
        if self.opa_url:
            require_https("opa_url", self.opa_url)
        require_one_each(self.jwt, of_pages=self.web.oidc.issuer if self.web.oidc else "")
        has_tls = self.tls_certificate_file is not None
        require_safe_listen(self.listen, has_tls=has_tls, such_as="127.0.0.1:7400")
        require_distinct(self.notify)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        del dotenv_settings, file_secret_settings
        path = config_path()
        file = (TomlConfigSettingsSource(settings_cls, path),) if path else ()
        return (init_settings, env_settings, *file)


def config_path() -> Path | None:
    """The file in force: CALLBROKER_CONFIG, or callbroker.toml here, where it exists."""
    named = os.environ.get("CALLBROKER_CONFIG")
    if named:
        return Path(named)
    here = Path(CONFIG_NAME)
    return here if here.is_file() else None


def load(**given: Any) -> Settings:
    """Read the settings.

    Args:
        given: settings that win over environment and file.

    Raises:
        ConfigurationRefused: with every problem found.
    """
    path = config_path()
    if path is not None and not path.is_file():
        raise ConfigurationRefused((f"There is no file {path}; CALLBROKER_CONFIG names it.",))
    try:
        settings = Settings(**given)
    except ValidationError as refused:
        raise ConfigurationRefused(
            tuple(_finding(error) for error in refused.errors()),
        ) from None
    except ValueError as broken:  # the file is not TOML
        raise ConfigurationRefused((f"{path}: {broken}",)) from None
    return _anchored(settings, path.parent if path else Path())


def _finding(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place, Settings.model_fields, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"{place}: there is no such setting; {meant}`callbroker config show` lists them"
    told = error["msg"].removeprefix("Value error, ")
    return f"{place}: {told}" if place else told


def _anchored(settings: Settings, directory: Path) -> Settings:
    """Relative paths become relative to the file's directory; the database gets its default."""

    def at(path: Path | None) -> Path | None:
        return None if path is None else (directory / path).resolve()

    state = (directory / settings.state).resolve()
    return settings.model_copy(
        update={
            "state": state,
            "database": settings.database or f"sqlite:///{state}/callbroker.db",
            "tools": at(settings.tools),
            "policies": at(settings.policies),
            "directory": at(settings.directory),
            "opa": at(settings.opa),
            "opa_token_file": at(settings.opa_token_file),
            "opa_ca_file": at(settings.opa_ca_file),
            "tls_certificate_file": at(settings.tls_certificate_file),
            "tls_key_file": at(settings.tls_key_file),
            "tls_client_ca_file": at(settings.tls_client_ca_file),
            "jwt": tuple(issuer.anchored(at) for issuer in settings.jwt),
            "web": settings.web.model_copy(
                update={
                    "tls_certificate_file": at(settings.web.tls_certificate_file),
                    "tls_key_file": at(settings.web.tls_key_file),
                    "oidc": _anchored_oidc(settings.web.oidc, at),
                },
            ),
            "metrics": settings.metrics.anchored(at),
            "traces": settings.traces.anchored(at),
            "notify": tuple(channel.anchored(at) for channel in settings.notify),
            "sandboxes": settings.sandboxes.model_copy(
                update={
                    "nodes": tuple(_anchored_node(n, directory) for n in settings.sandboxes.nodes),
                    "tls_ca_file": at(settings.sandboxes.tls_ca_file),
                    "tls_certificate_file": at(settings.sandboxes.tls_certificate_file),
                    "tls_key_file": at(settings.sandboxes.tls_key_file),
                },
            ),
            "sources": {
                name: source.model_copy(update={"url": _anchored_url(source.url, directory)})
                for name, source in settings.sources.items()
            },
        },
    )


def _anchored_oidc(oidc: Oidc | None, at: Callable[[Path | None], Path | None]) -> Oidc | None:
    if oidc is None:
        return None
    files = {"client_secret_file": at(oidc.client_secret_file), "ca_file": at(oidc.ca_file)}
    return oidc.model_copy(update=files)


def _anchored_url(url: str, directory: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(f"{prefix}/"):
        return prefix + str((directory / url.removeprefix(prefix)).resolve())
    return url


def _anchored_node(address: str, directory: Path) -> str:
    if not address.startswith(UNIX):
        return address
    # A path after two slashes is absolute (gRPC name resolution); ours may be relative to the file.
    path = address.removeprefix(UNIX).removeprefix("//")
    return f"{UNIX}{(directory / path).resolve()}"

"""One file and environment variables; every setting has a safe default and one sentence.

`sandboxd.toml` in the working directory, or the file that CALLBROKER_SANDBOXD_CONFIG names; each
setting can also come from the environment as CALLBROKER_SANDBOXD_{NAME}, which wins. An unknown key
is an error, and all problems are reported at once. Relative paths are relative to the file's
directory.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sandboxes.pool import PoolLimits
from sandboxes.uids import FIRST, LAST

CONFIG_NAME: Final = "sandboxd.toml"
CONFIG_VARIABLE: Final = "CALLBROKER_SANDBOXD_CONFIG"
UNIX: Final = "unix:"
_SOCKET_PATH_BYTES_MAX: Final = 100
_DEFAULTS: Final = PoolLimits()


class SettingsRefused(Exception):
    """The settings cannot be used; `findings` has one sentence for each problem."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class CredentialSettings(BaseModel):
    """A secret that the proxy puts into requests; no tool ever has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = Field(
        min_length=1, description="Where it may ever be sent: exact names, or *.example.com."
    )
    file: Path | None = Field(default=None, description="Holds it; mode 0600.")
    directory: Path | None = Field(
        default=None,
        description="Holds one file for each subject, named by the SHA-256 (hex) of the subject.",
    )
    header: str = Field(default="Authorization", description="Of the request.")
    prefix: str = Field(default="Bearer ", description="Before it in the header.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.directory is None):
            raise ValueError("a credential has either a file or a directory")
        return self


class SandboxdSettings(BaseSettings):
    """How one node runs."""

    model_config = SettingsConfigDict(
        env_prefix="CALLBROKER_SANDBOXD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    listen: str = Field(
        default="",
        description="unix:{path}, or host:port, which needs all three tls files; "
        "unix:{state}/sandboxd.sock where left out.",
    )
    socket_group: str = Field(
        default="",
        description="Group that may use the socket besides this user: the broker's. The socket's "
        "directory must let it in.",
    )
    tls_certificate_file: Path | None = Field(default=None, description="PEM chain of the node.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of the node.")
    tls_client_ca_file: Path | None = Field(
        default=None,
        description="PEM of the authority of clients: whoever it signed may run anything here.",
    )
    engine: str = Field(
        default="unix:///var/run/docker.sock",
        description="Socket of the container engine, on this machine.",
    )
    state: Path = Field(
        default=Path("sandboxd"),
        description="Directory, mode 0700: the node's id, its lock, sockets. One for each node.",
    )
    profiles: Path | None = Field(
        default=None,
        description="Directory of profiles of one's own, beside the shipped ones.",
    )
    warm: int = Field(
        default=_DEFAULTS.warm,
        ge=0,
        le=64,
        description="Containers kept waiting for each image and profile in use.",
    )
    containers_max: int = Field(
        default=_DEFAULTS.containers_max,
        ge=1,
        le=1_000,
        description="Containers that there may be at a time, those that wait included.",
    )
    idle_s: float = Field(
        default=_DEFAULTS.idle_s,
        gt=0,
        description="After so long unasked, an image's waiting containers are given up.",
    )
    recycle_s: float = Field(
        default=_DEFAULTS.recycle_s,
        gt=0,
        description="A container that has waited so long is replaced.",
    )
    uid_first: int = Field(
        default=FIRST,
        ge=1_000,
        description="Lowest user id for containers; give nodes of one machine ranges of their own.",
    )
    uid_last: int = Field(default=LAST, le=2**31 - 1, description="Highest user id for containers.")
    credentials: Mapping[str, CredentialSettings] = Field(
        default_factory=dict,
        description="Secrets that the proxy puts into requests, by the name that profiles use.",
    )
    egress_ca_file: Path | None = Field(
        default=None,
        description="PEM of authorities that the proxy trusts beside the system's.",
    )
    stop_within_s: float = Field(
        default=20.0,
        ge=0,
        description="Seconds that calls have to end in once the node is told to stop.",
    )
    log_format: Literal["console", "json"] = Field(
        default="console",
        description="For a person or for a log collector; to standard error.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least that is logged.",
    )

    @property
    def socket(self) -> Path | None:
        """Path of the unix socket, where it listens on one."""
        return Path(self.listen.removeprefix(UNIX)) if self.listen.startswith(UNIX) else None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_client_ca_file)
        local = not self.listen or self.listen.startswith(UNIX)
        if not local and not self.listen.rpartition(":")[2].isdecimal():
            raise ValueError(f"listen = {self.listen!r} is neither unix:{{path}} nor host:port")
        if not local and None in files:
            raise ValueError(
                f"listen = {self.listen!r} needs tls_certificate_file, tls_key_file and "
                "tls_client_ca_file: whoever connects could run anything here"
            )
        if local and any(files):
            raise ValueError("the tls files are for listen = host:port")
        if not self.engine.startswith("unix:///"):
            raise ValueError(f"engine = {self.engine!r} is not a socket here, unix:///{{path}}")
        if self.uid_last - self.uid_first < 4 * self.containers_max:
            raise ValueError("uid_first to uid_last are fewer than four for each container")
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
    """The file in force: CALLBROKER_SANDBOXD_CONFIG, or sandboxd.toml here, where it exists."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    here = Path(CONFIG_NAME)
    return here if here.is_file() else None


def load(**given: Any) -> SandboxdSettings:
    """Read the settings.

    Args:
        given: settings that win over environment and file.

    Raises:
        SettingsRefused: with every problem found.
    """
    path = config_path()
    if path is not None and not path.is_file():
        raise SettingsRefused((f"There is no file {path}; {CONFIG_VARIABLE} names it.",))
    try:
        settings = SandboxdSettings(**given)
    except ValidationError as refused:
        raise SettingsRefused(tuple(_finding(error) for error in refused.errors())) from None
    except ValueError as broken:  # the file is not TOML
        raise SettingsRefused((f"{path}: {broken}",)) from None
    return _anchored(settings, path.parent if path else Path())


def _finding(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place, SandboxdSettings.model_fields, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return (
            f"{place}: there is no such setting; {meant}`callbroker sandboxd --settings` lists them"
        )
    told = error["msg"].removeprefix("Value error, ")
    return f"{place}: {told}" if place else told


def _anchored(settings: SandboxdSettings, directory: Path) -> SandboxdSettings:
    """Relative paths become relative to the file's directory; the socket gets its default."""

    def at(path: Path | None) -> Path | None:
        return None if path is None else (directory / path).resolve()

    state = (directory / settings.state).resolve()
    listen = settings.listen or f"{UNIX}{state}/sandboxd.sock"
    if listen.startswith(UNIX):
        path = (directory / listen.removeprefix(UNIX)).resolve()
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
            raise SettingsRefused(
                (f"listen: {path} is too long for a socket: choose a shorter `state` or `listen`",)
            )
        listen = f"{UNIX}{path}"
    return settings.model_copy(
        update={
            "state": state,
            "listen": listen,
            "profiles": at(settings.profiles),
            "tls_certificate_file": at(settings.tls_certificate_file),
            "tls_key_file": at(settings.tls_key_file),
            "tls_client_ca_file": at(settings.tls_client_ca_file),
            "egress_ca_file": at(settings.egress_ca_file),
            "credentials": {
                name: each.model_copy(
                    update={"file": at(each.file), "directory": at(each.directory)}
                )
                for name, each in settings.credentials.items()
            },
        }
    )

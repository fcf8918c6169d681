"""`callbroker config`: every setting, what it is here and why, and what it means."""

import json
import os
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.text import Text

from broker.cli.environment import settings
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import Around, around, labelled, ours, say, theirs
from broker.config import Settings, config_path

_INDENT: Final = 22
_PREFIX: Final = "CALLBROKER_"

app = group("The settings.")


@app.command(epilog="Example: callbroker config show")
def show(*, as_json: AsJson = False) -> None:
    """Every setting with its value here, its default, and what it means.

    A setting comes from the environment (CALLBROKER_NAME), else from callbroker.toml here or the
    file that CALLBROKER_CONFIG names, else it has its default.
    """
    told = list(_told(settings()))
    path = config_path()
    if as_json:
        print_json({"file": str(path) if path else None, "settings": told})
        return
    shown = around()
    say(ours("File  ") + theirs(str(path.resolve()) if path else "none: callbroker init makes one"))
    for setting in told:
        say(*_picture(setting, shown))


def _told(configured: Settings) -> Iterator[dict[str, Any]]:
    given = _in_file()
    for name, field in Settings.model_fields.items():
        variable = f"{_PREFIX}{name.upper()}"
        in_environment = any(
            known == variable or known.startswith(f"{variable}__") for known in os.environ
        )
        source = "file" if name in given else "default"
        yield {
            "name": name,
            "value": _plain(getattr(configured, name)),
            "default": _plain(_default(field)),
            "from": variable if in_environment else source,
            "about": field.description or "",
        }


def _in_file() -> frozenset[str]:
    path = config_path()
    return frozenset(tomllib.loads(path.read_text(encoding="utf-8"))) if path else frozenset()


def _default(field: Any) -> Any:
    if field.default_factory is not None:
        return field.default_factory()
    return None if field.default is PydanticUndefined else field.default


def _plain(value: Any) -> Any:
    """As JSON; a secret stays stars."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _picture(setting: dict[str, Any], shown: Around) -> list[Text]:
    value = theirs(_said(setting["value"]))
    if setting["from"] == "default":
        origin = ours("")
    else:
        origin = theirs(f"  from {setting['from']}; default {_said(setting['default'])}", "dim")
    lines = labelled(setting["name"], value + origin, indent=_INDENT, width=shown.width)
    return lines + labelled("", theirs(setting["about"], "dim"), indent=_INDENT, width=shown.width)


def _said(value: Any) -> str:
    if value in (None, "", {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)

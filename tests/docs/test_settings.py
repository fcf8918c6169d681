"""Every setting is on the operator's page, with its default and what it means."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from broker.config import Settings
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "operate.md"
_ROW = re.compile(r"^\| `[a-zA-Z_.]+` \|.*$", re.MULTILINE)


def _expected() -> list[str]:
    return [_row(name, setting) for name, setting in _settings(Settings)]


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each setting by its whole name; those of a part, `sources.NAME.url`, in place of the part."""
    for name, setting in model.model_fields.items():
        part = _part(setting)
        if part is None:
            yield prefix + (setting.alias or name), setting
            for kind in _kinds(setting):
                yield from _settings(
                    kind, f"{name}.{get_args(kind.model_fields['kind'].annotation)[0]}."
                )
        else:
            inner, is_named = part
            yield from _settings(inner, f"{prefix}{name}.{'NAME.' if is_named else ''}")


def _part(setting: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """The settings that one is made of, and whether there are several by name."""
    kinds = [setting.annotation, *get_args(setting.annotation)]
    models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
    return (models[0], get_origin(setting.annotation) is Mapping) if models else None


def _kinds(setting: FieldInfo) -> tuple[type[BaseModel], ...]:
    """What a section may be that there are several of, told apart by its `kind`."""
    if get_origin(setting.annotation) is not tuple:
        return ()
    union, *_ = get_args(get_args(setting.annotation)[0]) or (None,)
    return tuple(k for k in get_args(union) if issubclass(k, BaseModel))


def _row(name: str, setting: FieldInfo) -> str:
    default = "" if setting.is_required() else _shown(setting.get_default())
    return f"| `{name}` | {default} | {setting.description} |"


def _shown(default: object) -> str:
    if default is None or default == "":
        return ""
    if isinstance(default, (bool, int, float, tuple)):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


def test_the_table_of_settings_is_that_of_the_code():
    section = PAGE.read_text(encoding="utf-8").partition("## Settings")[2].partition("\n## ")[0]
    assert _ROW.findall(section) == _expected(), "\n".join(_expected())


def test_every_setting_says_what_it_means():
    silent = [name for name, setting in _settings(Settings) if not setting.description]
    assert silent == []

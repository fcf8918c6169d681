"""Every setting is on the operator's page, with its default and what it means."""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from broker.config import ReviewTerms, Sandboxes, Settings, Source
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "operate.md"
_ROW = re.compile(r"^\| `[a-zA-Z_.]+` \|.*$", re.MULTILINE)


def _expected() -> list[str]:
    nested: dict[str, tuple[str, type[BaseModel]]] = {
        "sources": ("sources.NAME", Source),
        "review": ("review", ReviewTerms),
        "sandboxes": ("sandboxes", Sandboxes),
    }
    rows = []
    for name, setting in Settings.model_fields.items():
        if name in nested:
            prefix, model = nested[name]
            fields = model.model_fields.items()
            rows += [_row(f"{prefix}.{inner}", field) for inner, field in fields]
        else:
            rows.append(_row(name, setting))
    return rows


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


def _models() -> Iterator[type[BaseModel]]:
    yield from (Settings, Source, ReviewTerms, Sandboxes)


def test_every_setting_says_what_it_means():
    silent = [
        f"{model.__name__}.{name}"
        for model in _models()
        for name, setting in model.model_fields.items()
        if not setting.description
    ]
    assert silent == []

"""The page of the shipped rule families is made of their own annotations: docs/families.md.

python -m broker.policy.pages > docs/families.md

A family says in its metadata what it is for, what each parameter means and what it costs in holds;
its codes are those that its rules give. Nothing on the page is written by hand.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.text import visible_value
from broker.policy import opa_binary, syntax
from broker.policy.bundle import PolicyBundle, build

PRESETS: Final = ("balanced", "strict")
_VALUE_CHARACTERS_MAX: Final = 120
_EFFECTS: Final = ("DENY", "HOLD", "ALLOW")
_HEAD: Final = """\
# Rule families

What ships, made by `python -m broker.policy.pages` from the annotations of the rules in
`policies/broker/rules`. How to set a parameter, and how to write a family of your own:
[policies.md](policies.md). Every code, and what to do about it: [codes.md](codes.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A verdict that a family may give."""

    effect: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyPage:
    """What a family says of itself.

    Attributes:
        parameters: what each means, by its name.
        costs: what it costs in holds; empty where it does not say.
        duties: kinds of obligations that it may add.
    """

    name: str
    title: str
    description: str
    parameters: Mapping[str, str]
    costs: str
    codes: tuple[Code, ...]
    duties: tuple[str, ...]


def families_page(opa: Path, *, library: Path | None = None) -> str:
    """The whole page, in Markdown.

    Args:
        opa: the pinned binary.
        library: the shipped library; another one only in tests.

    Raises:
        BundleRefused: the library is refused.
        PolicyUnavailable: OPA cannot be run.
    """
    bundles = {name: build(opa=opa, preset=name, library=library) for name in PRESETS}
    set_to = {name: _parameters(bundle) for name, bundle in bundles.items()}
    pages = read_families(opa, bundles[PRESETS[0]])
    rows = [
        f"| [{page.name}](#{page.name}) | {_cell(page.title)} | {_says(page)} |" for page in pages
    ]
    parts = [_HEAD, "\n".join(("| family | is about | says |", "|---|---|---|", *rows)) + "\n"]
    parts += ["\n".join(_section(page, set_to)) + "\n" for page in pages]
    return "\n".join(parts)


def read_families(opa: Path, bundle: PolicyBundle) -> list[FamilyPage]:
    """What each family of a bundle says of itself, by name.

    Raises:
        CommandRefused: a rule cannot be parsed.
        PolicyUnavailable: OPA cannot be run.
    """
    modules = {
        path: data
        for path, data in bundle.files.items()
        if path.startswith("broker/rules/") and path.endswith(".rego") and "_test." not in path
    }
    by_family: dict[str, list[syntax.Node]] = {}
    for path, tree in syntax.trees(opa, modules).items():
        by_family.setdefault(path.split("/")[2], []).append(tree)
    return [_family(name, trees) for name, trees in sorted(by_family.items())]


def _family(name: str, trees: list[syntax.Node]) -> FamilyPage:
    notes = [note for tree in trees for note in tree.get("annotations", ())]
    told: dict[str, Any] = next(
        (n for n in notes if n.get("scope") == "package" and n.get("title")), {}
    )
    custom = told.get("custom") or {}
    codes = {code for tree in trees for code in _codes(tree)}
    return FamilyPage(
        name=name,
        title=str(told.get("title", name)),
        description=_one_line(told.get("description", "")),
        parameters={key: _one_line(text) for key, text in custom.get("parameters", {}).items()},
        costs=_one_line(custom.get("costs", "")),
        codes=tuple(sorted(codes, key=lambda c: (_EFFECTS.index(c.effect), c.code))),
        duties=tuple(sorted({duty for tree in trees for duty in _duties(tree)})),
    )


def _codes(tree: syntax.Node) -> Iterator[Code]:
    for node in syntax.nodes(tree.get("rules", [])):
        told = {key: _text(value) for key, value in syntax.members(node).items()}
        if told.get("code") and told.get("effect") in _EFFECTS:
            yield Code(effect=told["effect"], code=told["code"], message=told.get("message", ""))


def _duties(tree: syntax.Node) -> Iterator[str]:
    for rule in syntax.rules(tree):
        if syntax.name_of(rule) == "obligations":
            for node in syntax.nodes(rule):
                kind = _text(syntax.members(node).get("kind", {}))
                if kind:
                    yield kind


def _section(page: FamilyPage, set_to: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"## {page.name}"
    yield ""
    yield f"**{page.title}.** {page.description}"
    yield ""
    if page.codes:
        yield "| effect | code | says |"
        yield "|---|---|---|"
        yield from (f"| {c.effect} | `{c.code}` | {_cell(c.message)} |" for c in page.codes)
        yield ""
    if page.duties:
        yield f"It may add duties: {', '.join(f'`{duty}`' for duty in page.duties)}."
        yield ""
    if page.parameters:
        yield f"| parameter | means | {' | '.join(set_to)} |"
        yield f"|---|---|{'---|' * len(set_to)}"
        for name, meaning in page.parameters.items():
            values = [_value(of.get(page.name, {}).get(name)) for of in set_to.values()]
            yield f"| `{name}` | {_cell(meaning)} | {' | '.join(values)} |"
        yield ""
    if page.costs:
        yield f"Holds: {page.costs}"


def _says(page: FamilyPage) -> str:
    effects = [effect for effect in _EFFECTS if any(c.effect == effect for c in page.codes)]
    return ", ".join((*effects, *(f"`{duty}`" for duty in page.duties))) or "nothing yet"


def _parameters(bundle: PolicyBundle) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(bundle.files["parameters/data.json"])
    return found


def _value(value: JsonValue) -> str:
    if value in (None, {}, []):
        return "none"
    return f"`{_cell(visible_value(value, characters_max=_VALUE_CHARACTERS_MAX))}`"


def _text(term: Mapping[str, Any]) -> str:
    return str(term["value"]) if term.get("type") == "string" else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def main() -> int:
    """The command `python -m broker.policy.pages`: print the page."""
    opa = opa_binary.find()
    if opa is None:
        sys.stderr.write(f"There is no OPA {opa_binary.OPA_VERSION}: callbroker opa install\n")
        return 2
    sys.stdout.write(families_page(opa))
    return 0


if __name__ == "__main__":
    sys.exit(main())

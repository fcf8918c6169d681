"""Every `callbroker` command and option that a page or a message names is there."""

import re
import shlex
from collections.abc import Iterator

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from broker.cli.main import app
from tests.docs.pages import PAGES, ROOT, blocks, name_of

_INLINE = re.compile(r"`(callbroker [^`]+)`")
_TYPED = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(callbroker [a-z][^#|\n]*)", re.MULTILINE)
_STRAY = re.compile(r'[",;)\'\\].*$')


def _named() -> Iterator[tuple[str, str]]:
    """Where it is named, and the command line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = _INLINE.findall(text)
        for block in blocks(page):
            if block.kind in {"console", "sh", "shell", "bash"}:
                found += _TYPED.findall(block.text.replace("\\\n", " "))
        yield from ((name_of(page), line) for line in found)
    for module in sorted((ROOT / "broker").rglob("*.py")):
        # A long message is written as several literals: join them as Python does.
        text = re.sub(r'"\n\s*f?"', "", module.read_text(encoding="utf-8"))
        yield from ((name_of(module), line) for line in _INLINE.findall(text))


NAMED = sorted(set(_named()))


def test_commands_are_named():
    assert len(NAMED) > 20


@pytest.mark.parametrize(
    ("where", "line"), [(where, line) for where, line in NAMED if "/runbooks/" in where]
)
def test_a_command_of_a_runbook_is_understood_as_it_stands(where: str, line: str):
    """Whoever is woken types what the page says, and not what it means."""
    words = shlex.split(line)[1:]
    command = get_command(app)
    context = Context(command, info_name="callbroker")
    while isinstance(command, TyperGroup):
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        assert found is not None, f"{where} names `{line}`, and there is no {name}"
        command, context = found, Context(found, info_name=name, parent=context)
    command.make_context(context.info_name, words, parent=context.parent)


@pytest.mark.parametrize(("where", "line"), NAMED)
def test_the_command_exists(where: str, line: str):
    words = line.split()[1:]
    command = get_command(app)
    context = Context(command, info_name="callbroker")
    while isinstance(command, TyperGroup) and words and words[0][0].islower():
        name = _STRAY.sub("", words.pop(0))
        found = command.get_command(context, name)
        assert found is not None, f"{where} names `{line}`, and there is no {name}"
        command, context = found, Context(found, info_name=name, parent=context)
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {option for parameter in command.params for option in parameter.secondary_opts}
    options.add("--help")
    named = {_STRAY.sub("", w).partition("=")[0] for w in words if w.startswith("--")}
    assert named <= options, f"{where} names `{line}`, and there is no {named - options}"

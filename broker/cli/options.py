"""What many commands have, worded once: the house style of a group, and options."""

from typing import Annotated, Final

import typer

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 102}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the log.")]


def group(about: str) -> typer.Typer:
    """A command with commands below it, or, where `about` is empty, one alone.

    Its help is plain text: no markup, no panels, the same in a terminal and in a file.
    """
    made = typer.Typer(
        help=about or None,
        context_settings=dict(CONTEXT),
        no_args_is_help=bool(about),
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    if about:
        made.callback()(_nothing)
    return made


def _nothing() -> None:
    pass

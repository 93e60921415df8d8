"""The commands that restore one scan, by themselves: errors come as they are raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from napari_brgm.cli.clean import clean
from napari_brgm.cli.inpaint import inpaint
from napari_brgm.cli.superres import superres

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TASKS", "run_task"]

_APP = typer.Typer()
for _command in (inpaint, superres, clean):
    _APP.command()(_command)
TASKS = ("inpaint", "superres", "clean")


def run_task(task: str, arguments: Sequence[str]) -> None:
    """Run a command as though it had been typed."""
    group: Any = typer.main.get_command(_APP)
    with group.commands[task].make_context(task, list(arguments)) as context:
        context.command.invoke(context)

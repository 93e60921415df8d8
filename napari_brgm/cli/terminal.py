"""What is printed: text from outside as text, and paths so that other programs find the files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text, sentence

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["say", "say_note", "say_path", "survive_any_text"]


def say(text: object = "", *, err: bool = False) -> None:
    """Print text, whatever it holds, to stdout or stderr; control characters are shown, not obeyed."""
    try:
        typer.echo(plain_text(text), err=err)
    except BrokenPipeError:
        raise
    except OSError as error:  # of a disk that is full, where output goes into a file
        raise OutputError(
            f"the standard output cannot be written: {reason_of(error)}; files of results that were written stay"
        ) from error


def say_note(text: object) -> None:
    """Print a note to stderr."""
    say(f"note: {sentence(text)}", err=True)


def say_path(path: Path) -> None:
    """Print the path of a file to stdout: for eyes as text, into a pipe the very bytes that it has on disk."""
    if sys.stdout.isatty():
        say(path)
    else:
        typer.echo(os.fsencode(path))


def survive_any_text() -> None:
    """Let no character that a terminal of another encoding lacks end a run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

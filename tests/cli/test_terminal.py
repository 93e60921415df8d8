"""What is printed: escape sequences are shown, paths in pipes are those on disk, and one module prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from napari_brgm.cli import app
from napari_brgm.cli.terminal import say, say_note


def test_escape_sequences_are_shown(capsys):
    say("\x1b]0;owned\x07 T1")
    say_note("two\nlines \x9b2J")
    printed = capsys.readouterr()
    assert printed.out == "\\x1b]0;owned\\x07 T1\n" and printed.err == "note: two lines \\x9b2J\n"


def test_no_command_prints_by_itself():
    """Catches text from outside that reaches a terminal raw."""
    folder = Path(app.__module__ and sys.modules["napari_brgm.cli.terminal"].__file__).parent
    for file in folder.glob("*.py"):
        if file.name != "terminal.py":
            assert not re.search(r"\btyper\.echo\(|(?<![\w.])print\(", file.read_text("utf-8")), file.name


def printed(code: str, **environment: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | environment, check=True, timeout=60
    )
    return done.stdout


def test_a_path_in_a_pipe_is_the_one_on_disk():
    code = "from napari_brgm.cli.terminal import say_path; from pathlib import Path; say_path(Path('/x/Sch\\udce4del'))"
    assert printed(code) == b"/x/Sch\xe4del\n"


def test_a_terminal_without_the_letter_ends_nothing():
    code = (
        "from napari_brgm.cli.terminal import *; survive_any_text(); say('T1 \\u2713 \\udce4'); "
        "say('\\u2713', err=True)"
    )
    assert printed(code, PYTHONIOENCODING="latin-1").startswith(b"T1 \\u2713")

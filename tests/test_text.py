"""Text from outside is shown and written as text, whatever it holds."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from rich.text import Text

from napari_brgm.reason import advice_of, reason_of
from napari_brgm.text import (
    as_markdown,
    as_markup,
    as_rich_text,
    file_stem,
    plain_text,
    sentence,
    shortened,
    well_formed,
)

HOSTILE = [
    "\x1b[31mred",
    "\x9b2J",
    "a\x07b",
    "\u202egnp.exe",
    "x\x00y",
    "Sch\udce4del",
    "\x1b]8;;http://x\x07link",
    "\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_left_for_a_terminal_to_obey(text):
    shown = plain_text(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\ufeff" for c in shown)


def test_lines_and_letters_of_any_script_stay():
    assert plain_text("Köpfe\n\t頭 ✓ עברית") == "Köpfe\n\t頭 ✓ עברית"


def test_a_carriage_return_hides_nothing():
    """Catches a name that writes over the words before it."""
    assert "\r" not in plain_text("safe\rDANGER") and sentence("safe\rDANGER") == "safe DANGER"


def test_markup_of_rich_is_text():
    console = Console(width=80)
    with console.capture() as seen:
        console.print(as_markup("[red]T1[/red] [link=x]y[/link]"))
    assert seen.get().strip() == "[red]T1[/red] [link=x]y[/link]"
    assert Text.from_markup(as_markup("[bold]")).plain == "[bold]"


@pytest.mark.parametrize("tag", ["<script>alert(1)</script>", "<img src=x onerror=y>", "<!--", "<?php", "</div>"])
def test_html_in_markdown_is_text(tag):
    assert not any(f"<{c}" in as_markdown(tag) for c in "sid!?/")


def test_comparisons_and_addresses_in_markdown_stay():
    assert as_markdown("p < 0.05 <https://example.org/a?b>") == "p < 0.05 <https://example.org/a?b>"


def test_rich_text_of_qt_reads_the_same():
    assert as_rich_text('<b onclick="x">&\n') == '<qt>&lt;b onclick="x"&gt;&amp;<br></qt>'


def test_names_of_files_can_be_held_by_any_system():
    assert file_stem("a/b\\c:d\n\udce4\x1b") == "a_b_c_d_"
    assert file_stem("  ..") == "scan" and file_stem("sub-01_T1w") == "sub-01_T1w"


def test_long_text_keeps_both_ends():
    assert len(shortened("x" * 500)) == 100 and shortened("abc" + "x" * 500 + "end").endswith("end")


def test_what_is_well_formed_can_be_json_for_all():
    json.loads(json.dumps(well_formed("a\udce4"), ensure_ascii=False).encode())


def test_reasons_are_those_of_the_system_without_its_paths():
    error = OSError(28, "No space left on device", "/data/.brgm-1/x")
    assert reason_of(error) == "No space left on device" and "space" in advice_of(error, "choose another")
    assert advice_of(OSError(13, "Permission denied"), "choose another") == "choose another"


def test_reasons_of_other_errors_are_one_line_and_never_empty():
    assert reason_of(ValueError("a\n\x1b[31mb")) == "a \\x1b[31mb"
    assert (
        reason_of(EOFError()) == "it ends too early"
        and reason_of(ValueError()) == "ValueError"
        and reason_of(KeyError("trace")) == "it has no 'trace'"
    )

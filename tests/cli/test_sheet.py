"""Sheets and galleries draw any name as the letters that it has."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_brgm.cli.sheet import SheetImage, SheetRow, draw_gallery, draw_sheet

NAMES = ["T1_$a_^^$", "$$", r"\frac{", "Sch\udce4del", "\x1b[31m\x00", "[red]", "頭部", "x" * 400, "a\nb"]


@pytest.fixture
def titles(monkeypatch):
    seen = []
    drawn = Figure.suptitle
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, text, **how: seen.append((text, how)) or drawn(self, text, **how)
    )
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_of_any_name(tmp_path, name, titles):
    panel = SheetImage(name, np.random.default_rng(0).random((8, 8)), (1.0, 1.0))
    draw_sheet(tmp_path / "sheet.png", [SheetRow(name, [panel], panel)], name, name, name)
    with Image.open(tmp_path / "sheet.png") as image:
        image.text["Description"].encode()
    ((title, how),) = titles
    assert how["parse_math"] is False and len(title) < 600


def test_a_row_without_a_number_is_drawn_beside_others(tmp_path):
    """A thick slice that was lost outside the brain."""
    rows = [SheetRow("", [SheetImage("", np.full((8, 8), value), (1.0, 1.0))], None) for value in (1.0, np.nan)]
    draw_sheet(tmp_path / "sheet.png", rows, "", "a.u.")
    assert (tmp_path / "sheet.png").stat().st_size


@pytest.mark.parametrize("name", NAMES)
def test_a_gallery_of_any_name(tmp_path, name):
    draw_gallery(tmp_path / "gallery.png", [SheetImage(name, np.eye(8), (1.0, 1.0))], name, name)
    assert (tmp_path / "gallery.png").stat().st_size

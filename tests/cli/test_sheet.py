"""Sheets and galleries draw any name as the letters that it has."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_brgm.cli.sheet import SheetImage, SheetRow, draw_gallery, draw_sheet
from napari_brgm.cli.sheet_page import Page
from napari_brgm.text import shortened

NAMES = ["T1_$a_^^$", "$$", r"\frac{", "Sch\udce4del", "\x1b[31m\x00", "[red]", "頭部", "x" * 400, "a\nb"]


@pytest.fixture
def lines(monkeypatch):
    """What is written, and in how much room."""
    seen, own = [], Page.text

    def text(self, at, text, size, room, *more, **how):
        seen.append((text, room, self.image.width))
        own(self, at, text, size, room, *more, **how)

    monkeypatch.setattr(Page, "text", text)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_of_any_name(tmp_path, name, lines):
    panel = SheetImage(name, np.random.default_rng(0).random((8, 8)), (1.0, 1.0))
    draw_sheet(tmp_path / "sheet.png", [SheetRow(name, [panel], panel)], name, name, name)
    with Image.open(tmp_path / "sheet.png") as image:
        image.text["Description"].encode()
    assert lines[0][0] == shortened(name)
    assert all(text.isprintable() and len(text) < 600 and room < width for text, room, width in lines)


def test_a_pixel_is_shown_in_its_place_and_colour(tmp_path):
    """Catches panels that are turned, mirrored or on another scale, and paint beside what is missing."""
    image, missing = np.full((10, 20), 100.0), np.zeros((10, 20), bool)
    image[0, 19], missing[9, 0] = 0, True
    row = SheetRow("", [SheetImage("", image, (2.0, 1.0), missing)], SheetImage("", 0 * image, (2.0, 1.0)))
    draw_sheet(tmp_path / "sheet.png", [row], "", "a.u.")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    red = np.argwhere((pixels == (237, 89, 77)).all(2))
    (top, left), (bottom, right) = red.min(0), red.max(0)
    assert (right - left + 1, bottom - top + 1) == (14, 28)  # 280 pixels for 20 mm
    assert (pixels[top - 20, left + 3] == 255).all() and (pixels[bottom - 275, left + 275] == 0).all()


def test_a_line_that_is_too_long_is_smaller_and_then_shortened():
    page = Page(300, 60)
    page.text((150, 20), "w" * 200, 15, 280)
    drawn = np.argwhere(np.asarray(page.image).min(2) < 128)
    assert drawn[:, 1].min() >= 5 and drawn[:, 1].max() <= 295


def test_a_row_without_a_number_is_drawn_beside_others(tmp_path):
    """A thick slice that was lost outside the brain."""
    rows = [SheetRow("", [SheetImage("", np.full((8, 8), value), (1.0, 1.0))], None) for value in (1.0, np.nan)]
    draw_sheet(tmp_path / "sheet.png", rows, "", "a.u.")
    assert (tmp_path / "sheet.png").stat().st_size


@pytest.mark.parametrize("name", NAMES)
def test_a_gallery_of_any_name(tmp_path, name):
    draw_gallery(tmp_path / "gallery.png", [SheetImage(name, np.eye(8), (1.0, 1.0))], name, name)
    assert (tmp_path / "gallery.png").stat().st_size

"""The table of a batch: nothing in it is a formula, and a row is a line."""

from __future__ import annotations

import numpy as np
from PIL import Image

from napari_brgm.batch.ledger import Entry
from napari_brgm.batch.report import write_report


def test_cells_are_text_on_one_line(tmp_path):
    rows = [Entry("=cmd()", "failed", "", "@reason"), Entry("two\nlines", "failed", "", "because")]
    table, *_ = write_report(tmp_path, rows)
    lines = table.read_text().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("'=cmd(),failed,'@reason") and "\n" not in lines[2]


def test_contact_sheets_show_the_sheet_of_each_row(tmp_path):
    """Catches pages with names and nothing below them."""
    entries = []
    for number in range(20):
        name = f"r{number}/r{number}_desc-brgmInpaintSheet_T1w.png"
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (900, 300), (10 * number + 20, 0, 0)).save(tmp_path / name)
        entries.append(Entry(f"r{number}", "done", "", files=("none.nii.gz", name)))
    _, first, second = write_report(tmp_path, entries)
    shades = [set(np.unique(np.asarray(Image.open(page))[..., 0]).tolist()) for page in (first, second)]
    assert {10 * number + 20 for number in range(18)} <= shades[0] and {200, 210} <= shades[1]

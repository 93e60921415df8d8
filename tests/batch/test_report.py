"""The table of a batch: nothing in it is a formula, and a row is a line."""

from __future__ import annotations

from napari_brgm.batch.ledger import Entry
from napari_brgm.batch.report import write_report


def test_cells_are_text_on_one_line(tmp_path):
    rows = [Entry("=cmd()", "failed", "", "@reason"), Entry("two\nlines", "failed", "", "because")]
    table, *_ = write_report(tmp_path, rows)
    lines = table.read_text().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("'=cmd(),failed,'@reason") and "\n" not in lines[2]

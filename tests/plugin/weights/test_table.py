"""The table of priors shows what entries say as text."""

from __future__ import annotations

from napari_brgm.plugin.weights.table import PriorTable
from napari_brgm.zoo.entry import Kind, PriorEntry


def test_a_licence_that_looks_like_html_is_text_in_cell_and_tool_tip(qtbot):
    table = PriorTable()
    qtbot.addWidget(table)
    entry = PriorEntry("knee", Kind.installed, title="<b>Knees</b>", licence="<i>CC0</i>\n\x1b[2J")
    table.fill([(entry, "installed")])
    licence, name = table.item(0, 6), table.item(0, 0)
    assert licence.text() == "<i>CC0</i> \\x1b[2J" and name.toolTip() == "<qt>&lt;b&gt;Knees&lt;/b&gt;</qt>"

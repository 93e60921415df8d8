"""The box must hand on what a person gives, digit for digit, and never overwrite it with what a run found."""

from __future__ import annotations

import pytest

from napari_brgm.engine.alignment import Alignment
from napari_brgm.plugin.restore.alignment_box import AlignmentBox

FOUND = {"row": -3.25, "column": 120.5, "scale": 1.063, "rotation": -2.75, "low": -1024.0, "high": 3071.5}


@pytest.fixture
def box(qtbot) -> AlignmentBox:
    made = AlignmentBox()
    qtbot.addWidget(made)
    return made


def test_modes_are_fields_of_a_job(box: AlignmentBox) -> None:
    assert box.choices() == {"fit_alignment": True, "alignment": None}
    box.mode.value = "placed"
    assert box.choices() == {"fit_alignment": False, "alignment": None}
    box.mode.value = "given"
    neutral = {"row": 0, "column": 0, "scale": 1, "rotation": 0, "low": 0, "high": 1}
    assert box.choices() == {"fit_alignment": False, "alignment": neutral}


def test_values_are_editable_only_where_they_count(box: AlignmentBox) -> None:
    for mode, editable in (("fit", False), ("given", True), ("placed", False)):
        box.mode.value = mode
        assert all(field.enabled == editable for field in box.fields.values())


def test_what_a_run_used_can_be_kept_and_changed(box: AlignmentBox) -> None:
    """Catches a spin box that rounds or clips: negative shifts, HU, three digits of the size."""
    box.show_used(FOUND | {"fitted": True})
    box.mode.value = "given"
    assert box.choices()["alignment"] == pytest.approx(FOUND)
    box.fields["row"].value = 1.5
    box.show_used(FOUND)
    assert box.choices()["alignment"]["row"] == 1.5


def test_results_that_tell_nothing_change_nothing(box: AlignmentBox) -> None:
    box.show_used(FOUND)
    box.show_used(None)
    box.show_used({"row": None, "scale": 2.0})
    box.mode.value = "given"
    assert box.choices()["alignment"] == pytest.approx(FOUND | {"scale": 2.0})


def test_it_gives_what_the_engine_takes(box: AlignmentBox) -> None:
    """Catches a field that the engine calls by another name."""
    box.show_used(FOUND)
    box.mode.value = "given"
    alignment = Alignment.from_dict(box.choices()["alignment"])
    assert {k: v for k, v in alignment.as_dict().items() if k in FOUND} == pytest.approx(FOUND)


def test_what_a_box_cannot_show_is_left(qtbot) -> None:
    """Catches a run that ends in a traceback: values of a scan may be of any size."""
    box = AlignmentBox()
    qtbot.addWidget(box)
    box.show_used({"row": 3.0, "low": 0.0, "high": 5e9})
    assert box.fields["row"].value == 3.0 and box.fields["high"].value == 1.0

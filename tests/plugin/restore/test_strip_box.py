"""'Strip skull': there for brain priors, dead where the extra is missing, and off the window's thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_brgm.plugin import prior_panel
from napari_brgm.plugin.restore import strip_box
from napari_brgm.plugin.restore.strip_box import StripBox
from napari_brgm.scans import strip
from napari_brgm.scans.strip import Brain
from napari_brgm.zoo.entry import Kind, PriorEntry

BRAIN = PriorEntry("fake", Kind.shipped, modality="MR T1", plane="axial", resolution=128, preset="default")
CHEST = PriorEntry("chest", Kind.shipped, modality="CR", plane="frontal", resolution=128, preset="default")


@pytest.fixture
def brains(monkeypatch):
    """Two priors, and a brain that is the middle of the slice; the threads it was looked for in."""
    threads: list[int] = []

    def find(scan, painted):
        threads.append(threading.get_ident())
        inside = np.zeros(scan.shape, bool)
        inside[:, 100:150] = True
        return Brain(inside, "deepbet 1.0.2")

    monkeypatch.setattr(strip, "find_brain", find)
    monkeypatch.setattr(strip_box, "why_no_strip", lambda: "")
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: {"fake": BRAIN, "chest": CHEST})
    return threads


def test_without_the_extra_the_box_says_what_to_do(qtbot, monkeypatch):
    monkeypatch.setattr(strip_box, "why_no_strip", lambda: "it needs deepbet; pip install napari-brgm[strip]")
    box = StripBox()
    qtbot.addWidget(box.native)
    box.follow(BRAIN)
    assert not box.enabled and box.tooltip == "it needs deepbet; pip install napari-brgm[strip]"
    box.value = True
    assert not box.wanted


def test_it_counts_for_brain_priors_only(qtbot, brains):
    box = StripBox()
    qtbot.addWidget(box.native)
    assert not box.wanted
    box.value = True
    box.follow(CHEST)
    assert not box.wanted
    box.follow(BRAIN)
    assert box.wanted
    box.follow(None)
    assert not box.wanted


def run(widget, qtbot, click) -> None:
    click(widget.run_button)
    assert widget.worker is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)


def test_a_hole_is_restored_inside_the_brain(window, qtbot, click, fake_engine, asked, brains):
    viewer, widget = window("In-paint")
    image, mask = viewer.open_sample("napari-brgm", "brain-artefact")
    mask.data[95:105, 60:70] = 1  # over the rim of the brain
    widget.prior.value = "fake"
    assert widget.strip.native.isVisibleTo(widget)
    widget.strip.value = True
    run(widget, qtbot, click)
    restored = viewer.layers[2]
    inside = np.zeros(image.data.shape, bool)
    inside[100:150] = True
    hole = (mask.data > 0) & inside
    np.testing.assert_array_equal(asked(fake_engine.jobs[0].slices[0])["missing"], hole)
    assert (np.asarray(fake_engine.jobs[0].slices[0].image)[~inside] == 0).all()
    np.testing.assert_array_equal(restored.data[~hole], image.data[~hole])
    assert restored.metadata["brgm"]["strip"]["found_by"] == "deepbet 1.0.2"
    assert "reaches over the rim of the brain" in widget.advice.text()
    assert brains and brains[0] != threading.get_ident()
    widget.prior.value = "chest"
    assert not widget.strip.native.isVisibleTo(widget)
    run(widget, qtbot, click)
    assert len(brains) == 1


def test_a_hole_outside_is_refused_in_a_sentence(window, qtbot, click, fake_engine, brains):
    viewer, widget = window("In-paint")
    _, mask = viewer.open_sample("napari-brgm", "brain-artefact")
    mask.data[...] = 0
    mask.data[10:20, 60:70] = 1
    widget.prior.value = "fake"
    widget.strip.value = True
    run(widget, qtbot, click)
    assert "lies outside the brain" in widget.status.text() and len(viewer.layers) == 2

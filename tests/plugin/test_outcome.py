"""What a run computed must be found again at the place in the layer where it is seen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_brgm.plugin.job import Piece
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.outcome import outcome_of
from napari_brgm.plugin.planes import all_planes
from napari_brgm.plugin.results import Extras, add_results

PLACES = [{}, {"scale": (3, -0.5, 0.7)}, {"scale": (3, -0.5, -0.7), "translate": (0, 9, 9)}]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("task", ["in-paint", "super-resolve"])
def test_every_pixel_is_found_where_the_layer_shows_it(place: dict, order, task: str, fake_restoration) -> None:
    """Catches flips, swapped axes and, of a block that does not begin at slice 0, the wrong slice."""
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32), **place)
    viewer.dims.order = order
    planes = all_planes(source, shown_slice(source, viewer.dims))[1:3]
    given = {"factor": (2, 3)} if task == "super-resolve" else {}
    results = [
        (p, fake_restoration(Piece(p.image, **(given or {"missing": p.image > 0.5})), seed))
        for seed, p in enumerate(planes)
    ]
    restored, *_ = add_results(viewer, source, results, task, Extras())
    outcome = outcome_of(restored)
    assert outcome is not None and outcome.task == task and outcome.source == source.name
    found = 0
    for index in np.ndindex(restored.data.shape):
        place_of = outcome.find(index)
        if place_of is not None:
            plane, row, column = place_of
            assert plane.result.estimate[row, column] == restored.data[index]
            found += 1
    assert found == sum(result.estimate.size for _, result in results)


def test_outside_nothing_was_restored(fake_restoration) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32))
    viewer.dims.set_current_step(0, 2)
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(Piece(shown.image, missing=shown.image > 0.5))
    restored, *_ = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    outcome = outcome_of(restored)
    assert outcome is not None
    assert outcome.find((1, 2, 2)) is None and outcome.find((2, -0.6, 2)) is None and outcome.find((2, 4.6, 2)) is None
    for near, exact in (((2.4, 4.4, -0.4), (4, 0)), ((1.5, 0.5, 1.49), (1, 1))):  # halves go up, as pixels are drawn
        plane, *at = outcome.find(near)
        assert plane.shown is shown and tuple(at) == exact


def test_layers_of_others_have_no_outcome() -> None:
    assert outcome_of(None) is None
    assert outcome_of(Image(np.zeros((2, 2)), metadata={"brgm": {"role": "restored"}})) is None

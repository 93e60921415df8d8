"""Stack near: windows round the holes of slices that are restored together, the same in all of them.

A slice's residual field is given to the windows of slices after it, so that it is known where any slice of the chain
has a hole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.engine.checked import checked
from napari_brgm.engine.observed import in_blocks, margin_of
from napari_brgm.engine.restoring import image_and_corruption
from napari_brgm.errors import InputError
from napari_brgm.inference.cutout import cutouts
from napari_brgm.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Set

    from napari_brgm.engine.anchor import Anchor
    from napari_brgm.engine.layout import Layout
    from napari_brgm.inference.cutout import Cutout
    from napari_brgm.priors.prior import Prior

__all__ = ["stack_near"]


def stack_near(layout: Layout, slices: Set[int], anchor: Anchor, prior: Prior) -> tuple[Cutout, ...]:
    """Windows for slices of a stack, by their numbers; none: the whole frame.

    They are none where a slice was not measured at all, or anything but hidden pixels is restored.
    """
    measured = {slice_ for one in layout.measured for slice_ in one.holds}
    if any(layout.results[slice_] >= 0 and slice_ not in measured for slice_ in slices):
        return ()
    problem = anchor.problem
    placed, observation = problem.placed, problem.likelihood.observation
    missing = np.zeros(placed.given.seen.shape, dtype=bool)
    for one in layout.measured:
        if slices.isdisjoint(one.holds):
            continue
        try:
            image, corruption = image_and_corruption(one.given)
            given = checked(image, corruption, prior, one.given.spacing, one.given.noise_sigma, flat=True)
        except InputError:  # it is left out, and told of then
            continue
        if given.seen.shape != missing.shape or given.kept.shape != missing.shape:
            return ()
        if one.number is not None and (given.seen & ~given.kept).any():
            return ()
        missing |= ~given.seen
    assert isinstance(observation, Observation)
    blocks = in_blocks(missing, placed, problem.pixel)
    return cutouts(blocks, observation.frame, problem.pixel, prior.resolution, margin_of(placed))

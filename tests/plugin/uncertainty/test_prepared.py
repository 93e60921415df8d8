"""Images of samples: the same as without, and no more of them than memory is meant for them."""

from __future__ import annotations

import numpy as np

from napari_brgm.engine.restoration import Restoration
from napari_brgm.plugin.layers.outcome import RestoredPlane
from napari_brgm.plugin.uncertainty.prepared import PreparedSamples
from napari_brgm.samples import Samples


def plane(count: int = 6, *, lazy: bool = True) -> RestoredPlane:
    rng = np.random.default_rng(0)
    image, free = rng.normal(size=(20, 30)).astype(np.float32), np.zeros((20, 30), bool)
    free[5:9, 4:20] = True
    samples = Samples(rng.normal(size=(count, free.sum())).astype(np.float32), free, image)
    given = samples if lazy else np.asarray(samples)
    none = np.zeros((0, 0), np.float32)
    result = Restoration(image, image, free.astype(np.float32), given, none, ~free, [], {})
    return RestoredPlane((slice(None), slice(None)), lambda: result)


def test_they_are_the_samples() -> None:
    lazy, held = plane(), plane(lazy=False)
    prepared = PreparedSamples()
    for number in (0, 5, 2, 5, 7):
        image = prepared.sample(lazy, number)
        np.testing.assert_array_equal(image, held.sample(number))
        assert prepared.sample(lazy, number) is image
    assert prepared.size == 4 * 20 * 30 * 4
    prepared.sample(held, 1)  # is an array already
    assert prepared.size == 4 * 20 * 30 * 4
    prepared.forget()
    assert prepared.size == 0


def test_the_oldest_go_first() -> None:
    lazy, prepared = plane(), PreparedSamples(most=3 * 20 * 30 * 4)
    first = prepared.sample(lazy, 0)
    for number in (1, 2):
        prepared.sample(lazy, number)
    assert prepared.sample(lazy, 0) is first
    prepared.sample(lazy, 3)
    assert prepared.size == 3 * 20 * 30 * 4
    assert prepared.sample(lazy, 0) is first  # was looked at, unlike 1

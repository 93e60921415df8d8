"""How much of the residual field stands as noise beside the latents of a stack: by how far what is hidden is seen."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import run_stack, stacked
from napari_brgm.engine.volume import restore_volume
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
HOLE = (slice(9, 14), slice(8, 13))


@pytest.fixture
def shares(monkeypatch) -> list[float]:
    found: list[float] = []

    class Told(stacked.StackedRestoring):
        def finish(self):
            found.append(self.seen.share)
            return super().finish()

    monkeypatch.setattr(run_stack, "StackedRestoring", Told)
    return found


@pytest.mark.parametrize(
    ("mm", "hidden", "share"),
    [
        (1.0, range(4, 5), 0.1),
        (1.0, range(3, 6), (2 / 5) ** 2),
        (2.0, range(4, 5), (2 / 5) ** 2),
        (1.0, range(2, 7), (3 / 5) ** 2),
        (3.0, range(3, 6), 1.0),
    ],
)
def test_it_goes_with_the_square_of_the_distance(shares, stack_prior, stack_of, mm, hidden, share):
    truth = stack_of(9, seed=3, mm=mm)
    missing = np.zeros(truth.shape, bool)
    missing[(list(hidden), *HOLE)] = True
    restore_volume(truth, Mask(missing), stack_prior, spacing=(mm, 1.5, 1.5), settings=PLAIN, samples=0)
    assert shares == [pytest.approx(share)]


def test_a_speck_in_all_slices_counts_for_little(shares, stack_prior, stack_of):
    """Catches a stack that is taken for hidden throughout as one pixel of it is."""
    truth = stack_of(9, seed=3)
    missing = np.zeros(truth.shape, bool)
    missing[(slice(4, 5), *HOLE)] = True
    missing[:, 3, 3] = True
    restore_volume(truth, Mask(missing), stack_prior, spacing=(1.0, 1.5, 1.5), settings=PLAIN, samples=0)
    extent, pixels = 8, 26
    assert shares == [pytest.approx(max(0.1, ((25 + extent) / pixels / 5) ** 2))]


def test_thick_slices_have_the_least(shares, stack_prior, stack_of):
    thick = stack_of(8, seed=3).reshape(4, 2, 24, 24).mean(axis=1)
    restore_volume(
        thick, Downsample((2, 1, 1)), stack_prior, spacing=(2.0, 1.5, 1.5), settings=PLAIN, samples=0
    )  # fmt: skip
    assert shares == [0.1]

"""Masks decide which pixels are judged: they must be the paper's, and ours must be repeatable."""

import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.evaluation.masks import MASK_NAMES, brush_strokes, paper_mask, paper_masks


def test_shares_are_those_of_the_paper():
    shares = [round(100 * paper_mask(i, 256).mean()) for i in range(7)]
    assert shares == [50, 50, 5, 14, 25, 11, 51]
    assert len(MASK_NAMES) == 7


def test_smaller_grid_takes_every_second_row_and_column():
    assert np.array_equal(paper_masks(128), paper_masks(256)[:, ::2, ::2])
    rows, columns = np.nonzero(paper_mask(5))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (78, 107, 36, 93)  # of [155:216, 72:187]


@pytest.mark.parametrize(("number", "size"), [(7, 128), (-1, 128), (0, 100), (0, 0)])
def test_what_there_is_not(number, size):
    with pytest.raises(InputError):
        paper_mask(number, size)


def test_strokes_are_seeded_and_leave_most_of_the_image():
    masks = [brush_strokes((96, 128), seed) for seed in range(8)]
    assert np.array_equal(masks[0], brush_strokes((96, 128), 0))
    assert len({mask.tobytes() for mask in masks}) == 8
    assert all(mask.shape == (96, 128) and 0.01 < mask.mean() < 0.5 for mask in masks)

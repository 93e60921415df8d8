"""The cache must give back what was kept, and never what belongs to another prior."""

import numpy as np
import pytest

from napari_brgm.errors import OutputError
from napari_brgm.evaluation.cache import Cache, Cell
from napari_brgm.evaluation.method import Progressed
from napari_brgm.evaluation.scores import Scores

SCORES = Scores(
    rmse=1.5, ms_ssim=0.1, gmsd=0.2, laplacian=0.9, lpips=None, rmse_image=1.0, psnr=30.0, seconds=0.5
)  # fmt: skip
PRINT = {"slices": ((1, 2), (3, 4)), "weights": "abc"}


def test_cells_come_back_for_their_fingerprint_only(tmp_path):
    cache = Cache(tmp_path / "new")
    cell = Cell(SCORES, np.full((2, 4, 4), 7.0), None)
    cache.save("map", "x2", PRINT, cell)
    kept = Cache(tmp_path / "new").load("map", "x2", PRINT)
    assert kept is not None
    assert kept.scores == SCORES
    assert kept.stds is None
    assert np.array_equal(kept.pictures, cell.pictures)
    assert cache.load("map", "x2", {**PRINT, "weights": "other"}) is None
    assert cache.load("vi", "x2", PRINT) is None


def test_parts_last_until_the_cell_is_finished(tmp_path):
    cache = Cache(tmp_path)
    part = Progressed(np.ones((1, 4, 4)), np.zeros((1, 4, 4)), 2.5)
    cache.save_part("vi", "x4", PRINT, part)
    kept = cache.load_part("vi", "x4", PRINT)
    assert kept is not None
    assert kept.seconds == 2.5
    assert np.array_equal(kept.estimates, part.estimates)
    assert cache.load_part("vi", "x4", {**PRINT, "weights": "other"}) is None
    cache.save("vi", "x4", PRINT, Cell(SCORES, part.estimates, part.stds))
    assert cache.load_part("vi", "x4", PRINT) is None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another"):
        Cache(tmp_path / "file" / "cache")


def test_records_come_back_for_their_fingerprint_only(tmp_path):
    cache = Cache(tmp_path)
    assert cache.load_record("tuning", PRINT) is None
    cache.save_record("tuning", PRINT, {"x2": [64, 8.0]})
    assert cache.load_record("tuning", PRINT) == {"x2": [64, 8.0]}
    assert cache.load_record("tuning", {**PRINT, "weights": "other"}) is None

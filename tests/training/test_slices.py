"""Training slices are read into the 128 frame with their subjects."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm.errors import InputError
from napari_brgm.training.slices import read_slices


def jpeg(grey: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "jpeg", quality=100)
    return out.getvalue()


def test_slices_land_in_the_frame(tmp_path):
    """A spot at native (104, 30): 8 columns are added, 8 rows cut, pixels are 1.5 mm: at frame (63.5, 25.17)."""
    grey = np.zeros((208, 176), np.uint8)
    grey[101:108, 27:34] = 200
    archive = tmp_path / "slices.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for name in ("subject-007/slice-01.jpg", "subject-003/slice-05.jpg", "subject-007/slice-02.jpg"):
            handle.writestr(name, jpeg(grey))
        handle.writestr("README.txt", "not a slice")
    found = read_slices(archive)
    assert found.images.shape == (3, 1, 128, 128) and found.subjects.tolist() == [0, 1, 1]
    weights = found.images[0, 0].double()
    rows = (weights.sum(dim=1) * torch.arange(128)).sum() / weights.sum()
    columns = (weights.sum(dim=0) * torch.arange(128)).sum() / weights.sum()
    assert float(rows) == pytest.approx((104 - 8 + 0.5) / 1.5 - 0.5, abs=0.1)
    assert float(columns) == pytest.approx((30 + 8 + 0.5) / 1.5 - 0.5, abs=0.1)


@pytest.mark.parametrize("kind", ["missing", "empty", "size"])
def test_other_archives_are_refused(tmp_path, kind):
    archive = tmp_path / "slices.zip"
    if kind != "missing":
        with zipfile.ZipFile(archive, "w") as handle:
            if kind == "size":
                handle.writestr("subject-001/slice-01.jpg", jpeg(np.zeros((64, 64), np.uint8)))
    with pytest.raises(InputError) as caught:
        read_slices(archive)
    assert "\n" not in str(caught.value)

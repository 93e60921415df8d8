"""The pose of a scan in the generator frame, found from what is measured."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from napari_brgm.corruptions import Mask
from napari_brgm.engine.observe import observe
from napari_brgm.errors import WeightsError
from napari_brgm.zoo.registry import load_prior


@pytest.mark.parametrize("hidden", ["little", "right half", "lower half"])
def test_a_real_head_is_found_where_it_was_put(shared_data, hidden):
    """A registered slice, moved by 6 rows and 5 columns: its place in the frame is known to be within a few pixels.

    Catches a first guess from the box of the visible part that the fit cannot recover from (18 frame pixels off).
    """
    archive = shared_data / "brain" / "brain_validation.zip"
    if not archive.is_file():
        pytest.skip("needs ../shared/data/brain/brain_validation.zip")
    try:
        prior = load_prior("brain-axial-128")
    except WeightsError as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(archive) as handle:
        name = sorted(n for n in handle.namelist() if n.endswith(".jpg"))[18]
        image = np.asarray(Image.open(io.BytesIO(handle.read(name))).convert("L"), float)
    image = np.roll(image, (6, -5), (0, 1))
    missing = np.zeros(image.shape, bool)
    missing[{"little": np.s_[90:100, 90:100], "right half": np.s_[:, 88:], "lower half": np.s_[104:]}[hidden]] = True
    frame = observe(image, Mask(missing), prior, spacing=(1.0, 1.0)).frame
    for axis, (moved, padding) in enumerate(((6, -8), (-5, 8))):
        at = (100 - frame.centre_native[axis]) * frame.ratio[axis] + frame.centre_frame[axis]
        assert at == pytest.approx((100 - moved + padding + 0.5) / 1.5 - 0.5, abs=3)
    assert frame.ratio[0] * 1.5 == pytest.approx(1, abs=0.06) and frame.ratio[0] == pytest.approx(frame.ratio[1])

"""Which set a prior is measured on: the wrong one would give figures that mean nothing."""

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import SETS, evenly_spaced, set_of
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo


def prior(size, modality, plane, spacing):
    return LinearGaussian(
        torch.zeros(1, size, size), torch.zeros(1, 1, size, size), 0.1, PriorInfo("p", modality, plane, spacing)
    )


@pytest.mark.parametrize(
    ("size", "modality", "plane", "spacing", "name"),
    [
        (128, "MR T1", "axial", 1.5, "brain-128"),
        (256, "MR T1", "axial", 1.0, "brain-256"),
        (256, "MR T1", "axial", 0.0, "brain-256"),  # unknown pixel size
        (128, "X-ray", "frontal", 0.0, "xray-128"),
        (256, "X-ray", "frontal", 0.0, "xray-256"),
        (256, "chest X-ray", "", 0.0, "xray-256"),
    ],
)
def test_the_card_decides(size, modality, plane, spacing, name):
    assert set_of(prior(size, modality, plane, spacing)).name == name


@pytest.mark.parametrize(
    ("size", "modality", "plane", "spacing"),
    [
        (128, "MR T1", "coronal", 1.5),
        (256, "MR T1", "axial", 1.5),
        (64, "X-ray", "frontal", 0.0),
        (64, "MR T1", "axial", 1.5),
        (256, "", "", 0.0),
    ],
)
def test_a_prior_that_fits_none_is_one_sentence(size, modality, plane, spacing):
    with pytest.raises(InputError, match="fits none of the validation sets") as refused:
        set_of(prior(size, modality, plane, spacing))
    assert "\n" not in str(refused.value)


def test_evenly_spaced_images():
    assert evenly_spaced(10, 10) == list(range(10))
    assert evenly_spaced(9, 3) == [0, 3, 6]
    assert len(set(evenly_spaced(142, 100))) == 100
    with pytest.raises(InputError, match="choose 1 to 5"):
        evenly_spaced(5, 0)


@pytest.mark.shared
def test_the_set_at_128_is_the_one_of_the_measuring_stick(shared_data):
    brain = next(held for held in SETS if held.name == "brain-128")
    slices = brain.read(shared_data, "validation")
    assert len(slices) == 640 and len(slices.subject_names) == 20
    names = [slices.names[i] for i in evenly_spaced(len(slices), 50)]
    assert names[:3] == [f"subject-012/slice-{number:02}.jpg" for number in (0, 13, 26)]


def test_a_spot_lands_where_the_frame_of_brains_says():
    """Native (104, 30): 8 columns are added, 8 rows cut, pixels are 1.5 mm; catches a shift by half a pixel."""
    brain = next(held for held in SETS if held.name == "brain-128")
    grey = np.zeros((208, 176), np.float32)
    grey[101:108, 27:34] = 200
    weights = brain.framing.apply(grey, brain.pixel_mm).astype(np.float64)
    assert weights.shape == (128, 128) and weights.sum() == pytest.approx(200 * 49 / 1.5**2, rel=1e-4)
    rows = (weights.sum(axis=1) * np.arange(128)).sum() / weights.sum()
    columns = (weights.sum(axis=0) * np.arange(128)).sum() / weights.sum()
    assert rows == pytest.approx((104 - 8 + 0.5) / 1.5 - 0.5, abs=0.02)
    assert columns == pytest.approx((30 + 8 + 0.5) / 1.5 - 0.5, abs=0.02)

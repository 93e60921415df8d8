"""Which set a prior is measured on: the wrong one would give figures that mean nothing."""

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.dataset import validation_slices
from napari_brgm.evaluation.held_out import SETS, evenly_spaced, grey_images, set_of
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
    protocol = validation_slices(shared_data / "brain" / "brain_validation.zip").images
    ours = grey_images(slices, evenly_spaced(len(slices), 50))
    assert np.abs(ours - protocol).max() <= 0.51  # rounding to 8 bits

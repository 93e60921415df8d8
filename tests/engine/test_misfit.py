"""Misfit: what a prior knows stays below, what it does not know lies above, and a person is told."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nibabel.testing import data_path
from pydicom.data import get_testdata_file

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.misfit import misfit_of, unlike
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.evaluation.masks import brush_strokes
from napari_brgm.likelihood import Likelihood, from_grey
from napari_brgm.observation import Observation
from napari_brgm.scans import read_scan
from napari_brgm.scans.samples import brain_slice

_MEASURED_LIMIT = 0.25  # where the registry has none yet


def misfit(observed, drawn, seen=None, pixel=(1.0, 1.0)) -> float:
    """Of grey levels (h, w) against an image that is given on the same pixels."""
    y = torch.from_numpy(observed).float()[None, None]
    known = torch.ones_like(y) if seen is None else torch.from_numpy(seen).float()[None, None]
    one = Likelihood(Observation(Identity(), known, 1.0), y * known)
    return misfit_of(one, from_grey(torch.from_numpy(drawn).float()[None, None]), 64, pixel)


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """(64, 64) grey levels from 60 to 180, smooth."""
    row, column = np.indices((64, 64))
    return 120 + 30 * np.sin(row / 9) + 30 * np.cos(column / 11)


def test_it_is_relative_to_the_contrast(field):
    """A constant passes K as it is; gain and units drop out. Catches a division by the mean or by the square."""
    plain = misfit(field, field - 6)
    assert plain == pytest.approx(6 / field.std(), rel=0.1)
    assert misfit(0.5 * field + 20, 0.5 * field + 17) == pytest.approx(plain, rel=1e-3)
    assert misfit(field, field) == pytest.approx(0, abs=1e-5)


def test_fine_detail_does_not_count(field):
    rough = field + 20 * (-1.0) ** np.indices((64, 64)).sum(axis=0)
    assert misfit(rough, field) < 0.1 * 20 / field.std()


def test_the_same_on_finer_pixels(field):
    """Catches a width of K in pixels instead of the frame's."""
    drawn = field + 25 * np.sin(np.arange(64) / 2)
    twice = np.ones((2, 2))
    assert misfit(np.kron(field, twice), np.kron(drawn, twice), pixel=(0.5, 0.5)) == pytest.approx(
        misfit(field, drawn), rel=0.03
    )


def test_hidden_pixels_and_background_have_no_say(field):
    seen = np.ones((64, 64), bool)
    seen[20:40, 20:40] = False
    drawn = field - 6
    wild = np.where(seen, drawn, 255.0)
    assert misfit(field, wild, seen) == pytest.approx(misfit(field, drawn, seen), rel=1e-6)
    framed = np.pad(field, 40)
    assert misfit(framed, np.pad(drawn, 40)) < 1.2 * misfit(field, drawn)  # black on black does not dilute it ...
    assert misfit(framed, np.pad(drawn, 40)) > 0.3 * misfit(field, drawn)  # ... beyond the edge of the head


def test_without_tissue_there_is_none(field):
    dark = np.full((64, 64), 3.0)
    assert np.isnan(misfit(dark, dark))
    assert np.isnan(misfit(field, field, np.zeros((64, 64), bool)))
    assert np.isnan(misfit(np.full((64, 64), 90.0), field))  # no contrast to compare with
    invented = misfit(dark + np.indices((64, 64))[0] / 64, field)
    assert invented > 1  # what the prior draws where nothing is counts


def test_what_is_said():
    assert unlike(0.2, 0.25) == unlike(0.9, 0.0) == unlike(float("nan"), 0.25) == ""
    assert "0.26" in unlike(0.26, 0.25) and "0.25" in unlike(0.26, 0.25)


@pytest.fixture(scope="module")
def limited(upright_prior):
    """The toy prior with a limit of its own."""
    prior = copy(upright_prior)
    prior.info = replace(prior.info, misfit_limit=0.2)
    return prior


def noted(image, prior, quick, **how) -> tuple[float, bool]:
    """Misfit in the record, and whether a person is told."""
    missing = np.zeros(image.shape, bool)
    missing[24:32, 30:40] = True
    record = restore(image, Mask(missing), prior, samples=2, settings=quick, device="cpu", **how).provenance
    assert record["misfit"]["limit"] == prior.info.misfit_limit
    return record["misfit"]["value"], any("unlike what the prior knows" in note for note in record["notes"])


@pytest.mark.parametrize("units", [1.0, 7.0])
def test_another_anatomy_is_told_from_the_priors_own(limited, upright_images, smooth_images, quick, units):
    """Own heads stay quiet, turned or not; a negative and another anatomy do not. Catches a note that never comes."""
    head = ((upright_images(1, 64, seed=9)[0, 0].double().numpy() + 1) * 127.5).clip(0)
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    cloud = torch.nn.functional.interpolate(noise[None, None, :8, :8], size=64, mode="bicubic")[0, 0].double().numpy()
    for image in (head, head[::-1, ::-1]):
        value, told = noted(units * image, limited, quick, spacing=(1.5, 1.5))
        assert value < 0.15 and not told
    negative = np.where(head > 20, 255 - head, 0)
    for image in (negative, 120 + 40 * cloud):
        value, told = noted(units * image, limited, quick, spacing=(1.5, 1.5))
        assert value > 0.25 and told


def test_without_a_limit_nobody_is_told(upright_prior, upright_images, quick):
    head = ((upright_images(1, 64, seed=9)[0, 0].double().numpy() + 1) * 127.5).clip(0)
    value, told = noted(np.where(head > 20, 255 - head, 0), upright_prior, quick)
    assert value > 0.25 and not told


@pytest.fixture(scope="module")
def shipped(brain_prior):
    prior = copy(brain_prior)
    if not prior.info.misfit_limit:
        prior.info = replace(prior.info, misfit_limit=_MEASURED_LIMIT)
    return prior


@pytest.fixture
def shorter(quick):
    return quick.but(steps=12)


def test_the_atlas_fits_better_the_way_up_that_is_found(shipped, shorter):
    """Catches a prior laid upside down over the head; there the misfit is twice as large."""
    scan, missing = brain_slice()
    piece = scan.slice("axial", 0)
    image = np.where(missing, 0, piece.image)
    found = observe(image, Mask(missing), shipped, spacing=piece.spacing).placed.alignment
    values = []
    for alignment in (found, Alignment.from_dict(found.as_dict() | {"rotation": 0.0})):
        record = restore(
            image, Mask(missing), shipped, spacing=piece.spacing, alignment=alignment, samples=2, settings=shorter,
            device="cpu",
        ).provenance  # fmt: skip
        values.append(record["misfit"]["value"])
        assert any("unlike" in note for note in record["notes"]) == (values[-1] > shipped.info.misfit_limit)
    assert values[0] < shipped.info.misfit_limit and values[0] < 0.65 * values[1]


@pytest.mark.parametrize("slices", ["EPI, slice 8", "EPI, slice 14", "CT"])
def test_other_contrasts_are_called_unlike(shipped, shorter, slices):
    """T2*-weighted echo-planar slices, and a CT of the head's base: real scans that the T1 prior does not know."""
    if slices == "CT":
        (scan,) = read_scan(get_testdata_file("CT_small.dcm", download=False))
        piece = scan.slice("axial", 0)
    else:
        (scan,) = read_scan(Path(data_path) / "example4d.nii.gz")
        piece = replace(scan, array=scan.array[..., 0]).slice("axial", int(slices.split()[-1]))
    missing = brush_strokes(piece.image.shape, 0)
    record = restore(
        piece.image, Mask(missing), shipped, spacing=piece.spacing, samples=2, settings=shorter, device="cpu"
    ).provenance
    assert record["misfit"]["value"] > shipped.info.misfit_limit
    assert "this scan is unlike what the prior knows" in record["notes"][0]


@pytest.mark.shared
@pytest.mark.parametrize("number", [3, 290, 603])
def test_held_out_slices_are_quiet(shared_data, shipped, shorter, number):
    """In the prior's own frame, with their pixel size given: they stay where they are and nothing is said."""
    from napari_brgm.evaluation.held_out import grey_images, set_of

    image = grey_images(set_of(shipped).read(shared_data, "validation"), [number])[0]
    missing = brush_strokes(image.shape, number)
    placed = observe(image, Mask(missing), shipped, spacing=(1.5, 1.5)).placed
    assert placed.frame.is_identity and not placed.fitted
    turned = observe(image[::-1, ::-1], Mask(missing[::-1, ::-1]), shipped, spacing=(1.5, 1.5)).placed
    assert turned.fitted and abs(abs(turned.alignment.rotation) - 180) < 6
    record = restore(
        image, Mask(missing), shipped, spacing=(1.5, 1.5), samples=2, settings=shorter, device="cpu"
    ).provenance
    assert record["misfit"]["value"] < shipped.info.misfit_limit and record["notes"] == []

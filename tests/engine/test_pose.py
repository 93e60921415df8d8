"""The pose of a scan in the generator frame, found from what is measured."""

from __future__ import annotations

import copy
import io
import zipfile
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

from napari_brgm.corruptions import Blur, Downsample, Frame, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.engine.pose import fit_pose
from napari_brgm.errors import WeightsError
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.scans.samples import brain_slice
from napari_brgm.zoo.registry import load_prior


@pytest.fixture(scope="module")
def real_head(shared_data) -> np.ndarray:
    """A registered slice of 1 mm pixels."""
    archive = shared_data / "brain" / "brain_validation.zip"
    if not archive.is_file():
        pytest.skip("needs ../shared/data/brain/brain_validation.zip")
    with zipfile.ZipFile(archive) as handle:
        name = sorted(n for n in handle.namelist() if n.endswith(".jpg"))[18]
        return np.asarray(Image.open(io.BytesIO(handle.read(name))).convert("L"), float)


@pytest.mark.parametrize("hidden", ["little", "right half", "lower half"])
def test_a_real_head_is_found_where_it_was_put(real_head, brain_prior, hidden):
    """A registered slice, moved by 6 rows and 5 columns: its place in the frame is known to be within a few pixels.

    Catches a first guess from the box of the visible part that the fit cannot recover from (18 frame pixels off).
    """
    image = np.roll(real_head, (6, -5), (0, 1))
    missing = np.zeros(image.shape, bool)
    missing[{"little": np.s_[90:100, 90:100], "right half": np.s_[:, 88:], "lower half": np.s_[104:]}[hidden]] = True
    frame = observe(image, Mask(missing), brain_prior, spacing=(1.0, 1.0)).placed.frame
    for axis, (moved, padding) in enumerate(((6, -8), (-5, 8))):
        at = (100 - frame.centre_native[axis]) * frame.ratio[axis] + frame.centre_frame[axis]
        assert at == pytest.approx((100 - moved + padding + 0.5) / 1.5 - 0.5, abs=3)
    assert frame.ratio[0] * 1.5 == pytest.approx(1, abs=0.06) and frame.ratio[0] == pytest.approx(frame.ratio[1])


def moved(image, shape, alignment, pixel=1.0) -> np.ndarray:
    """A 1 mm slice put into a scan of ``pixel`` mm: row, column (mm from the middle), scale, degrees anticlockwise."""
    row, column, scale, rotation = alignment
    angle = np.radians(rotation)
    down, right = np.meshgrid(
        (np.arange(shape[0]) - (shape[0] - 1) / 2) * pixel - row,
        (np.arange(shape[1]) - (shape[1] - 1) / 2) * pixel - column,
        indexing="ij",
    )
    back = (
        (np.cos(angle) * down + np.sin(angle) * right) / scale,
        (np.cos(angle) * right - np.sin(angle) * down) / scale,
    )
    return map_coordinates(image, [b + (n - 1) / 2 for b, n in zip(back, image.shape, strict=True)], order=1)


@pytest.mark.parametrize(
    ("alignment", "units"),
    [
        ((0, 0, 1.0, 0), (0, 1)),
        ((9, -12, 1.1, 13), (0, 1 / 255)),
        ((-11, 6, 0.9, -14), (0, 12)),
        ((5, 5, 1, 6), (80, 3)),
    ],
)
@pytest.mark.parametrize("hidden", ["little", "right half", "coarse", "blurred"])
def test_pose_and_intensity_of_a_real_head(real_head, brain_prior, hidden, alignment, units):
    """A registered slice put into a known pose and scale of values, found again within what heads differ by.

    Catches an angle, scale or shift that goes the other way, a half-pixel error of coarse pixels, and a black or white
    that is left where percentiles put it (80 units of pedestal are 27 grey levels here).
    """
    scan = units[0] + units[1] * moved(real_head, (240, 212), alignment)
    missing = np.zeros(scan.shape, bool)
    missing[{"right half": np.s_[:, 106:]}.get(hidden, np.s_[90:100, 90:100])] = True
    f, pixel = Mask(missing), 1.0
    if hidden == "coarse":
        f, pixel, scan = Downsample(4), 4.0, scan.reshape(60, 4, 53, 4).mean(axis=(1, 3))
    elif hidden == "blurred":
        f = Blur(4.0)
        scan = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    found = observe(scan, f, brain_prior, spacing=(pixel, pixel)).placed.alignment
    assert found.row * pixel == pytest.approx(alignment[0], abs=3.5)
    assert found.column * pixel == pytest.approx(alignment[1], abs=3.5)
    assert found.scale == pytest.approx(alignment[2], rel=0.04) and found.rotation == pytest.approx(alignment[3], abs=3)
    width = 255 * units[1]
    assert found.low == pytest.approx(units[0], abs=0.02 * width)
    assert found.high - found.low == pytest.approx(width, rel=0.2)


def test_gain_and_offset_are_those_that_were_put_on(linear_prior, disc_scan):
    """In closed form with the latents; catches an exchange of the two or a wrong sign."""
    grey, seen = disc_scan
    guess = Frame((48, 48), 24, (0.5, 0.5), (23.5, 23.5), (11.5, 11.5))
    plain, changed = (fit_pose(guess, linear_prior, y, seen, 2.0) for y in (grey, 1.2 * grey + 9.0))
    assert changed.gain / plain.gain == pytest.approx(1.2, rel=0.05)
    assert changed.offset - plain.offset == pytest.approx(9.0, abs=1.5)
    assert changed.frame.centre_frame == pytest.approx(plain.frame.centre_frame, abs=0.3)


def test_hidden_pixels_have_no_say(linear_prior, disc_scan):
    grey, seen = disc_scan
    guess = Frame((48, 48), 24, (0.5, 0.5), (23.5, 23.5), (11.5, 11.5))
    seen = seen.clone()
    seen[..., 10:25, 20:30] = 0
    one, other = (fit_pose(guess, linear_prior, grey + fill * (1 - seen), seen, 2.0) for fill in (0.0, 1000.0))
    assert one == other


def apart(one: float, other: float) -> float:
    """Degrees between two angles."""
    return abs((one - other + 180) % 360 - 180)


@pytest.mark.parametrize("turn", [180.0, 187.0, 171.0, 4.0])
@pytest.mark.parametrize("expected", [0.0, 180.0])
@pytest.mark.parametrize("seen", ["little hidden", "left half", "upper half", "coarse"])
def test_the_way_up_is_found(upright_prior, upright_images, turn, expected, seen):
    """Whatever is expected: catches a search of one way up, which lays scans upside down over the prior."""
    pixel = 4.0 if seen == "coarse" else 0.8
    side = round(64 / pixel)
    middle = ((side - 1) / 2,) * 2
    truth = Frame((side, side), 64, (pixel, pixel), middle, (32.5, 30.0), turn)
    grey = truth.A((upright_images(1, 64, seed=9) + 1) * 127.5)
    known = torch.ones_like(grey)
    half = side // 2
    known[{"left half": np.s_[..., :half], "upper half": np.s_[..., :half, :]}.get(seen, np.s_[..., :2])] = 0
    guess = Frame((side, side), 64, (pixel, pixel), middle, (31.5, 31.5), expected)
    found = fit_pose(guess, upright_prior, grey, known, 6.0)
    assert -180 <= found.frame.rotation < 180 and apart(found.frame.rotation, turn) < 5
    assert found.frame.centre_frame == pytest.approx(truth.centre_frame, abs=2)
    assert found.improvement > 0


@pytest.mark.parametrize("expected", [0.0, 180.0])
def test_a_tie_stays_as_expected(upright_images, expected):
    """Anatomy that looks the same both ways up; catches a sign that tips with rounding."""
    images = upright_images(80, 64)
    prior = LinearGaussian.fit((images + images.rot90(2, (-2, -1))) / 2, 20)
    image = upright_images(1, 64, seed=9)
    grey = ((image + image.rot90(2, (-2, -1))) / 2 + 1) * 127.5
    guess = Frame((64, 64), 64, (1.0, 1.0), (31.5, 31.5), (31.5, 31.5), expected)
    found = fit_pose(guess, prior, grey, torch.ones_like(grey), 6.0)
    assert apart(found.frame.rotation, expected) < 5


@pytest.fixture(scope="module")
def shipped():
    """``shipped(name)``: a prior that ships, read once."""

    @cache
    def read(name):
        try:
            return load_prior(name)
        except WeightsError as error:
            pytest.skip(str(error))

    return read


@pytest.mark.parametrize("name", ["brain-axial-128", "brain-axial-256", "brain-axial-lcm-128"])
@pytest.mark.parametrize("expected", [180.0, 0.0])
def test_the_atlas_lies_the_other_way_up_than_the_brain_priors(shipped, name, expected):
    """The sample has anterior at the top, their training slices have not, whatever the registry says of it."""
    prior = copy.copy(shipped(name))
    assert prior.info.rotation == 180
    prior.info = replace(prior.info, rotation=expected)
    scan, missing = brain_slice()
    piece = scan.slice("axial", 0)
    found = observe(np.where(missing, 0, piece.image), Mask(missing), prior, spacing=piece.spacing).placed
    assert found.fitted and apart(found.alignment.rotation, 180) < 5
    assert found.alignment.scale == pytest.approx(1.06, abs=0.04)

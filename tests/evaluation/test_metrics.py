"""A metric that is wrong would judge every method wrongly: each is held against facts found another way."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_brgm.errors import InputError
from napari_brgm.evaluation.metrics import (
    gmsd,
    laplacian_energies,
    lpips_vgg,
    ms_ssim_distance,
    ms_ssim_scales,
    psnr,
    rmse,
    ssim,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    smooth = 127 + 100 * np.sin(np.arange(128)[:, None] / 9) * np.cos(np.arange(128)[None] / 7)
    truth = np.stack([smooth, smooth.T])
    return (truth + rng.normal(0, 20, truth.shape)).clip(0, 255), truth


def test_identical_images_have_no_distance(pair):
    _, truth = pair
    assert rmse(truth, truth) == 0
    assert math.isinf(psnr(truth, truth))
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-6)
    assert ms_ssim_distance(truth, truth) == pytest.approx(0, abs=1e-6)
    assert gmsd(truth, truth) == pytest.approx(0, abs=1e-12)


def test_rmse_pools_over_slices_and_region():
    truth = np.zeros((2, 4, 4))
    prediction = truth.copy()
    prediction[0, 0, 0], prediction[1, 3, 3] = 3, 100
    region = np.zeros((4, 4), bool)
    region[0, :2] = True
    assert rmse(prediction, truth, region) == pytest.approx(math.sqrt(9 / 4))  # 1 of 4 pixels, not a mean of roots
    with pytest.raises(InputError, match="non-empty"):
        rmse(prediction, truth, np.zeros((4, 4), bool))


def test_ssim_and_psnr_agree_with_scikit_image(pair):
    prediction, truth = pair
    theirs = [
        structural_similarity(p, t, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for p, t in zip(prediction, truth, strict=True)
    ]
    assert ssim(prediction, truth) == pytest.approx(np.mean(theirs), abs=1e-5)
    noise = [peak_signal_noise_ratio(t, p, data_range=255) for p, t in zip(prediction, truth, strict=True)]
    assert psnr(prediction, truth) == pytest.approx(np.mean(noise))


def test_ms_ssim_of_a_brightness_shift_has_a_closed_form():
    # contrast terms are 1, so only the luminance term of the coarsest of 4 scales is left, to its weight
    weight = 0.2363 / (0.0448 + 0.2856 + 0.3001 + 0.2363)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    flat = np.full((1, 128, 128), 100.0)
    assert ms_ssim_distance(flat + 50, flat) == pytest.approx(1 - luminance**weight, abs=1e-4)


@pytest.mark.parametrize("side", [24, 50, 98, 128, 180])
def test_ms_ssim_is_what_its_formula_says_in_float64(side):
    """As we measured before MONAI did, from 2 to 5 scales; noise, blur and another contrast."""
    rng = np.random.default_rng(side)
    truth = gaussian_filter(rng.uniform(0, 255, (3, side, side)), (0, 1, 1))
    worse = np.stack([truth[0] + rng.normal(0, 15, truth[0].shape), gaussian_filter(truth[1], 2), 60 + 0.4 * truth[2]])
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][: ms_ssim_scales(side)])
    expected = []
    for x, y in zip(worse, truth, strict=True):
        value = 1.0
        for scale, weight in enumerate(weights / weights.sum(), 1):
            full, contrast = similarity_maps(x, y)
            value *= max((full if scale == len(weights) else contrast).mean(), 0) ** weight
            half = len(x) // 2
            x, y = (image[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean(axis=(1, 3)) for image in (x, y))
        expected.append(1 - value)
    assert ms_ssim_distance(worse, truth) == pytest.approx(np.mean(expected), abs=1e-4)  # tables show 1e-3


def similarity_maps(x, y):
    """SSIM and its contrast factor at each pixel whose window of 11 fits (Wang et al. 2004, Eq. 13)."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    xx, yy, xy, mx, my = (convolve2d(image, window, "valid") for image in (x * x, y * y, x * y, x, y))
    c1, c2 = 2.55**2, 7.65**2
    contrast = (2 * (xy - mx * my) + c2) / (xx - mx**2 + yy - my**2 + c2)
    return contrast * (2 * mx * my + c1) / (mx**2 + my**2 + c1), contrast


def test_ms_ssim_of_single_scale_size_is_ssim():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 255, (2, 16, 16))
    assert ms_ssim_distance(a, 0.9 * a + 0.1 * b) == pytest.approx(1 - ssim(a, 0.9 * a + 0.1 * b), abs=1e-6)
    assert [ms_ssim_scales(size) for size in (10, 16, 98, 128, 176, 512)] == [0, 1, 3, 4, 5, 5]
    with pytest.raises(InputError, match="at least 11"):
        ms_ssim_distance(a[:10], b[:10])


def test_gmsd_agrees_with_loops_over_the_definition():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 255, (2, 12, 14))

    def gradient(image):
        small = np.pad((image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4, 1)
        out = np.zeros((6, 7))
        for i in range(6):
            for j in range(7):
                w = small[i : i + 3, j : j + 3]
                out[i, j] = math.hypot(w[:, 0].sum() - w[:, 2].sum(), w[0].sum() - w[2].sum()) / 3
        return out

    ga, gb = gradient(a), gradient(b)
    assert gmsd(a, b) == pytest.approx(np.std((2 * ga * gb + 170) / (ga**2 + gb**2 + 170)))


def test_laplacian_ratio_sees_blur_and_not_the_seam(pair):
    prediction, truth = pair

    def ratio(*given):
        own, real = laplacian_energies(*given)
        return own / real

    assert ratio(truth, truth) == pytest.approx(1) and ratio(0.5 * truth, truth) == pytest.approx(0.25)
    hole = np.zeros((128, 128), bool)
    hole[32:64, 32:64] = True
    seam = np.where(hole, truth + 80, truth)  # as sharp inside, with a step at the rim
    assert ratio(seam, truth, hole) == pytest.approx(1)
    assert ratio(prediction, truth) > 2


def test_shapes_must_agree():
    with pytest.raises(InputError, match="one shape"):
        gmsd(np.zeros((4, 4)), np.zeros((5, 4)))


def test_lpips_never_downloads(tmp_path, monkeypatch, pair):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("download"))
    assert lpips_vgg(*pair) is None

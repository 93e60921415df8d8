"""restore() asks operators and never their class: those of other libraries and composed ones give the same answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Identity, Mask
from napari_brgm.engine.restore import restore

OWN = Compose(Blur(1.5), Downsample(2))


class TheirBlur:
    """A linear blur with the three methods that deepinv's physics has; written without a line of ours."""

    def __init__(self, sigma: float, size: int) -> None:
        at = torch.arange(size, dtype=torch.float64)
        inside = torch.special.erf((at[:, None] - at[None] + 0.5) / (sigma * 2**0.5))
        outside = torch.special.erf((at[:, None] - at[None] - 0.5) / (sigma * 2**0.5))
        self.k = (inside - outside) / 2
        mirrored = (at[:, None] + at[None] + 1, 2 * size - 1 - at[:, None] - at[None])
        for apart in mirrored:  # reflected edges
            upper, lower = ((apart + half) / (sigma * 2**0.5) for half in (0.5, -0.5))
            self.k += (torch.special.erf(upper) - torch.special.erf(lower)) / 2
        self.k /= self.k.sum(dim=1, keepdim=True)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        k = self.k.to(x)
        return k @ x @ k.T

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        k = self.k.to(y)
        return k.T @ y @ k

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        inverse = torch.linalg.pinv(self.k, rtol=1e-6).to(y)
        return inverse @ y @ inverse.T


class TheirCoarseBlur(TheirBlur):
    """The same, and means of 2 x 2 pixels."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(super().A(x), 2)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return super().A_adjoint(y.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1) / 4)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        return super().A_dagger(y.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1))


SIGMA = 1.5 / (2 * np.sqrt(2 * np.log(2)))


@pytest.fixture
def sharp(scan) -> torch.Tensor:
    return torch.from_numpy(scan)[None, None]


@pytest.mark.parametrize("method", ["map", "vi"])
@pytest.mark.parametrize("kind", ["of the same size", "with a downsampling of its own"])
def test_another_library_s_operator_gives_what_ours_gives(linear_prior, sharp, quick, kind, method):
    """Catches one that is taken for denoising, or whose pixels are taken for those to be restored."""
    ours, theirs = (
        (Blur(1.5), TheirBlur(SIGMA, 24)) if kind == "of the same size" else (OWN, TheirCoarseBlur(SIGMA, 24))
    )
    y = ours.A(sharp)
    torch.testing.assert_close(theirs.A(sharp), y, atol=1e-6 * float(y.max()), rtol=0)
    image = y[0, 0].numpy()
    own, other = (
        restore(image, f, linear_prior, method=method, samples=3, noise_sigma=4.0, settings=quick)
        for f in (ours, theirs)
    )
    assert own.shape == other.shape == (24, 24)
    for name in ("estimate", "mean", "samples", "std"):
        apart = np.abs(getattr(own, name) - getattr(other, name)).max()
        assert apart < 2e-3 * np.ptp(image), name
    assert own.provenance["frame"] == other.provenance["frame"] and own.provenance["noise"] == other.provenance["noise"]
    assert other.provenance["corruption"]["name"] == type(theirs).__name__


def test_another_library_s_operator_meets_the_data_exactly(linear_prior, sharp, quick):
    """Noise that nobody gave: f of the estimate and of each sample is the observation."""
    theirs = TheirCoarseBlur(SIGMA, 24)
    image = theirs.A(sharp)[0, 0].numpy()
    result = restore(image, theirs, linear_prior, samples=3, settings=quick)
    for one in (result.estimate, *result.samples):
        again = theirs.A(torch.from_numpy(one).double()[None, None])[0, 0].numpy()
        assert np.abs(again - image).max() < 1e-3 / 255 * np.ptp(image)


class TheirMeans:
    """Means of 4 x 4 pixels, in double precision only."""

    weights = torch.full((1, 1, 4, 4), 1 / 16, dtype=torch.float64)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, self.weights, stride=4)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv_transpose2d(y, self.weights, stride=4)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        return 16 * self.A_adjoint(y)


@pytest.mark.parametrize("method", ["map", "vi"])
def test_another_library_s_means_are_met_as_ours_are(linear_prior, sharp, quick, method):
    """To a thousandth of a grey level: catches an inverse that is regularised without need."""
    image = TheirMeans().A(sharp)[0, 0].numpy()
    result = restore(image, TheirMeans(), linear_prior, method=method, samples=3, settings=quick)
    assert result.shape == (24, 24)
    for one in (result.estimate, result.mean, *result.samples):
        again = TheirMeans().A(torch.from_numpy(one).double()[None, None])[0, 0].numpy()
        assert np.abs(again - image).max() < 1e-3 / 255 * np.ptp(image)


class TheirMask:
    def __init__(self, hole):
        self.mask = torch.from_numpy(~hole).float()

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask

    A_adjoint = A_dagger = A


def test_another_library_s_mask_keeps_its_pixels(linear_prior, scan, hole, quick):
    """Bit for bit, as ours does, of which it is no other in any way."""
    ours, theirs = (restore(scan, f, linear_prior, samples=3, settings=quick) for f in (Mask(hole), TheirMask(hole)))
    np.testing.assert_array_equal(theirs.estimate[~hole], scan[~hole])
    for name in ("estimate", "mean", "variance", "samples", "measured"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))


@pytest.mark.parametrize("method", ["map", "laplace", "vi"])
def test_a_mask_composed_alone_is_that_mask(linear_prior, scan, hole, quick, method):
    """The same measured pixels bit for bit and the same result: catches a composition that keeps nothing."""
    plain, composed = (
        restore(scan, f, linear_prior, method=method, samples=3, settings=quick)
        for f in (Mask(hole), Compose(Compose(Mask(hole))))
    )
    np.testing.assert_array_equal(composed.estimate[~hole], scan[~hole])
    for name in ("estimate", "mean", "variance", "samples", "latents", "measured"):
        np.testing.assert_array_equal(getattr(composed, name), getattr(plain, name))
    ignored = {"created", "seconds"}
    told = [{k: v for k, v in one.provenance.items() if k not in ignored} for one in (plain, composed)]
    assert told[0] == told[1]


def test_two_masks_keep_what_both_keep(linear_prior, scan, hole, quick):
    other = np.roll(hole, 5, axis=1)
    apart, nested, one = (
        restore(scan, f, linear_prior, samples=3, settings=quick)
        for f in (
            Compose(Mask(hole), Mask(other)), Compose(Mask(other), Compose(Mask(hole))), Mask(hole | other),
        )
    )  # fmt: skip
    np.testing.assert_array_equal(apart.measured, ~(hole | other))
    np.testing.assert_array_equal(apart.estimate[apart.measured], scan[apart.measured])
    for name in ("estimate", "variance", "samples"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(one, name))
        np.testing.assert_array_equal(getattr(nested, name), getattr(one, name))


def test_factors_of_one_part_stay_exact(linear_prior, scan, quick):
    """Sizes that are rounded: catches a composition that takes 24 / 16 for the factor 1.5 that was given as 1.49."""
    for factor in (1.49, 2):
        f = Downsample(factor)
        low = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
        plain, composed = (
            restore(low, one, linear_prior, samples=2, noise_sigma=2.0, settings=quick) for one in (f, Compose(f))
        )
        np.testing.assert_array_equal(composed.estimate, plain.estimate)
        assert composed.provenance["frame"] == plain.provenance["frame"]


def test_super_resolution_of_an_image_with_a_hole(linear_prior, scan, quick):
    """Coarse pixels that hold nothing have no say; catches a mask that is looked for on the fine grid."""
    missing = np.zeros((12, 12), bool)
    missing[3:6, 4:8] = True
    low = scan.reshape(12, 2, 12, 2).mean(axis=(1, 3))
    f = Compose(Downsample(2), Mask(missing))
    results = [
        restore(np.where(missing, fill, low), f, linear_prior, samples=3, settings=quick) for fill in (0.0, np.nan, 1e5)
    ]
    for one in results[1:]:
        np.testing.assert_array_equal(one.estimate, results[0].estimate)
    assert results[0].shape == (24, 24) and not results[0].measured.any()
    again = results[0].estimate.reshape(12, 2, 12, 2).mean(axis=(1, 3))
    assert np.abs(again - low)[~missing].max() < 0.01 * np.ptp(low)
    assert np.abs(again - low)[missing].mean() < 0.15 * np.ptp(low)
    hidden = np.kron(missing, np.ones((2, 2), bool))
    assert results[0].std[hidden].mean() > 1.2 * results[0].std[~hidden].mean()


def test_nothing_happened_is_denoising(linear_prior, scan, quick):
    plain, composed = (
        restore(scan, f, linear_prior, samples=2, noise_sigma=20.0, settings=quick)
        for f in (Identity(), Compose(Identity(), Identity()))
    )
    np.testing.assert_allclose(composed.estimate, plain.estimate, atol=1e-3)

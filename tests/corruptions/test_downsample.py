"""Downsample: where its pixels lie, what its kernels weigh, and sizes that survive a refinement."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Downsample, Identity
from napari_brgm.corruptions.separable import Separable
from napari_brgm.errors import InputError

KERNELS = [
    Downsample(4),
    Downsample((3, 2), "bicubic"),
    Downsample(4, "gaussian", fwhm=0.8),
    Downsample(3, "slice_profile", width=0.7, fwhm=0.1),
    Downsample(2, "slice_profile", width=1.2, fwhm=0),
]


@pytest.mark.parametrize("f", KERNELS, ids=str)
def test_half_pixel_geometry(f: Downsample) -> None:
    """A ramp in low-resolution pixels, (i + 0.5) / f - 0.5, is seen as 0, 1, 2, ...: a shifted grid would show."""
    row, column = (float(v) for v in f.factor)
    size = (int(16 * row), int(16 * column))
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / v - 0.5 for n, v in zip(size, (row, column), strict=True))
    seen = f((100 * y[:, None] + x)[None, None])[0, 0]
    low = torch.arange(16, dtype=torch.float64)
    torch.testing.assert_close(seen[4:-4, 4:-4], (100 * low[:, None] + low)[4:-4, 4:-4], atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernel", ["area", "bicubic", "gaussian", "slice_profile"])
def test_fractional_factors_do_not_drift(kernel: Any) -> None:
    """With 5/2 the kernels see a ramp to a tenth of a low-resolution pixel, and without drift over the image."""
    k = torch.from_numpy(Downsample(Fraction(5, 2), kernel).axis_matrix(0, 100))
    error = k @ ((torch.arange(100, dtype=torch.float64) + 0.5) / 2.5 - 0.5) - torch.arange(40)
    assert error[4:36].abs().max() < 0.1
    assert error[4:36].mean().abs() < 1e-6


def test_area_is_average_pooling(normal) -> None:
    x = normal((2, 3, 16, 24))
    torch.testing.assert_close(Downsample(4)(x), F.avg_pool2d(x, 4))


def test_area_splits_pixels_by_overlap() -> None:
    k = Downsample(Fraction(3, 2)).axis_matrix(0, 3)
    np.testing.assert_allclose(k, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], atol=1e-12)


def test_bicubic_is_torch_antialiased_bicubic(normal) -> None:
    x = normal((1, 1, 30, 40))
    torch.testing.assert_close(
        Downsample((2.5, 4), "bicubic")(x), F.interpolate(x, size=(12, 10), mode="bicubic", antialias=True)
    )


def test_gaussian_and_slice_profile_have_the_width_they_are_given() -> None:
    """Measured on the middle row of the matrix, in low-resolution pixels."""
    fine = (np.arange(800) + 0.5) / 40 - 0.5

    def spread(f: Downsample) -> float:
        weights = f.axis_matrix(0, 800)[10]
        return float(np.sqrt(weights @ (fine - 10) ** 2))

    to_sigma = 1 / (2 * np.sqrt(2 * np.log(2)))
    assert spread(Downsample(40, "gaussian", fwhm=1.5)) == pytest.approx(1.5 * to_sigma, rel=1e-3)
    profile = Downsample(40, "slice_profile", width=0.6, fwhm=0.3)
    assert spread(profile) == pytest.approx(np.hypot(0.6 / np.sqrt(12), 0.3 * to_sigma), rel=1e-3)
    gaps = Downsample(40, "slice_profile", width=0.5, fwhm=0).axis_matrix(0, 800)
    assert (gaps > 0).sum(axis=1).tolist() == [20] * 20  # half of every 40 fine pixels is not seen


@pytest.mark.parametrize("factor", [1.2, 1.5, 2, 2.5, 3.7, 6])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 33])
def test_low_sizes_survive_refinement(factor: float, n: int) -> None:
    f = Downsample(factor)
    assert f.observed_shape(f.image_shape((n, n))) == (n, n)
    assert f.A_dagger(torch.ones(1, 1, n, n)).shape[-2:] == f.image_shape((n, n))


def test_equal_parameters_are_equal_objects() -> None:
    assert Downsample(2) == Downsample((2.0, Fraction(2)))
    assert len({Downsample(2), Downsample((2, 2)), Downsample(2, "bicubic")}) == 2
    assert repr(Downsample((2.5, 1), "gaussian")) == "Downsample(factor=(5/2, 1), kernel='gaussian', fwhm=1)"


@pytest.mark.parametrize("factor", [4, (3, 1), (1, 5)])
def test_plain_means_are_those_of_the_matrices(factor):
    f = Downsample(factor)
    x = torch.randn(2, 3, 24, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ky, kx = f.matrices((24, 20))
    y = ky @ x @ kx.T
    torch.testing.assert_close(f.A(x), y)
    torch.testing.assert_close(f.A_adjoint(y), ky.T @ y @ kx)
    for ratio in (0.0, 0.3):
        torch.testing.assert_close(f.A_dagger(y, None, ratio), Separable.A_dagger(f, y, None, ratio))


# thick slices: channels are the slices of a stack

STACKS = [
    Downsample((3, 1, 1)),
    Downsample((2, 2, 1)),
    Downsample((Fraction(5, 2), 3, 2), "bicubic"),
    Downsample((4, 2, 2), "gaussian", fwhm=0.8),
    Downsample((4, 1, 1), "slice_profile", width=0.6),
    Downsample((2, 1, 1), "slice_profile", width=1.4, fwhm=0),
]


def dense(f: Downsample, thin: int, shape: tuple[int, int]) -> torch.Tensor:
    """A as a matrix, from the kernels of its three axes."""
    ky, kx = f.matrices(shape)
    plane = torch.kron(ky.contiguous(), kx.contiguous())
    return torch.kron(torch.from_numpy(f.slice_profile(thin)), plane)


@pytest.mark.parametrize("f", STACKS, ids=str)
def test_thick_slices_are_what_the_matrices_of_three_axes_say(f, normal):
    """A, A' and A^+, regularised or not: catches a profile that stands for rows, and noise that is shared out wrong."""
    thick, shape = 4, (6, 8)
    thin = f.image_channels(thick)
    a = dense(f, thin, shape)
    x = normal((2, thin, *shape))
    y = f(x)
    assert y.shape == (2, f.observed_channels(thin), *f.observed_shape(shape)) and y.shape[1] == thick
    torch.testing.assert_close(y.flatten(1), x.flatten(1) @ a.T)
    z = normal(tuple(y.shape), 1)
    torch.testing.assert_close(f.A_adjoint(z, shape).flatten(1), z.flatten(1) @ a)
    torch.testing.assert_close(
        f.A_dagger(z, shape).flatten(1), z.flatten(1) @ torch.linalg.pinv(a).T, atol=1e-6, rtol=0
    )
    for ratio in (0.01, 1.0):
        gram = a @ a.T + ratio * torch.eye(len(a))
        wanted = z.flatten(1) @ torch.linalg.solve(gram, a)
        torch.testing.assert_close(f.A_dagger(z, shape, ratio).flatten(1), wanted)


@pytest.mark.parametrize("factor", [2, 3, 2.5, 6.4])
@pytest.mark.parametrize("thick", [2, 3, 10])
def test_thick_slices_survive_refinement(factor, thick):
    f = Downsample((factor, 1, 1))
    assert f.observed_channels(f.image_channels(thick)) == thick
    assert f.A_dagger(torch.ones(1, thick, 4, 4)).shape == (1, f.image_channels(thick), 4, 4)
    np.testing.assert_allclose(f.slice_profile(f.image_channels(thick)).sum(axis=1), 1)


def test_three_numbers_tell_themselves_apart():
    f = Downsample((3, 1, 2))
    assert repr(f) == "Downsample(factor=(3, 1, 2), kernel='area')"
    assert f.describe()["factor"] == [3.0, 1.0, 2.0]
    assert f.in_plane == Downsample((1, 2)) and Downsample((3, 1, 1)).in_plane == Identity()
    assert Downsample((3, 1, 1), "slice_profile", width=0.5).through == 3
    assert Downsample((2, 2, 2), "gaussian", fwhm=0.7).in_plane == Downsample(2, "gaussian", fwhm=0.7)
    assert len({f, Downsample((3, 1, 2)), Downsample((1, 2)), Downsample((2, 1, 2))}) == 3
    assert Downsample((1, 1, 2)) == Downsample((1, 2)) and Downsample((1, 1, 2)).describe()["factor"] == [1.0, 2.0]


def test_in_the_plane_alone_channels_stay_apart(normal):
    """As they were before stacks: catches slices that are mixed where nothing was said of their thickness."""
    f, x = Downsample((2, 3)), normal((2, 5, 8, 9))
    assert f.observed_channels(5) == f.image_channels(5) == 5
    for i in range(5):
        torch.testing.assert_close(f(x)[:, i : i + 1], f(x[:, i : i + 1]))


@pytest.mark.parametrize("factor", [(0.5, 1, 1), (1, 1, 1), (2, 2, 2, 2), (2,), ("thick", 1, 1)])
def test_factors_of_no_stack_are_refused(factor):
    with pytest.raises(InputError, match="factor must be"):
        Downsample(factor)


def test_one_slice_cannot_be_a_sum_of_thin_ones():
    with pytest.raises(InputError, match="use restore_volume"):
        Downsample((3, 1, 1)).observed_channels(1)

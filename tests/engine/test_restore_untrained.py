"""restore() without a trained prior: any slice, its own pixels as the frame, and an ensemble in place of a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Compose, Downsample, Grayscale, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.settings import preset

QUICK = preset("untrained").but(steps=3, window=2)


def slice_of(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Smooth, different at every pixel, from about 100 to 900."""
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    return (500 + 400 * np.sin(5 * axes[0]) * np.cos(7 * axes[1]) + (30 * axes[2] if len(shape) == 3 else 0)).astype(
        dtype
    )


def hole_of(*shape: int) -> np.ndarray:
    hole = np.zeros(shape, bool)
    hole[shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = True
    return hole


@pytest.mark.parametrize(("shape", "dtype"), [((37, 61), "int16"), ((32, 32), "float64"), ((50, 21), "uint8")])
def test_measured_pixels_are_kept_bit_for_bit(shape, dtype):
    image, hole = (slice_of(*shape) / (4 if dtype == "uint8" else 1)).astype(dtype), hole_of(*shape)
    result = restore(image, Mask(hole), DeepImagePrior(), samples=3, settings=QUICK, device="cpu")
    for found in (result.estimate, result.mean):
        assert found.shape == shape and (found[~hole] == image[~hole]).all()
    assert (result.variance[~hole] == 0).all() and (result.variance[hole] > 0).all()
    assert result.samples.shape == (3, *shape) and np.isfinite(result.estimate).all()
    assert not result.provenance["frame"].get("unseen") and {t["phase"] for t in result.trace} == {"ensemble"}


@pytest.mark.parametrize("shape", [(37, 61), (32, 32), (100, 48)])
def test_the_frame_is_the_slice_pixel_by_pixel(shape):
    """Catches a slice that is shifted by half a pixel or interpolated on its way into the frame and back."""
    prior = DeepImagePrior().for_slice(shape, 1)
    problem = observe(slice_of(*shape), Mask(hole_of(*shape)), prior, noise_sigma=1.0, pose=False)
    marked = torch.rand(1, 1, prior.resolution, prior.resolution, generator=torch.Generator().manual_seed(0))
    top, left = ((prior.resolution - n) // 2 for n in shape)
    found = problem.placed.frame.A(marked)
    assert torch.equal(found, marked[..., top : top + shape[0], left : left + shape[1]])
    assert not problem.unseen.any()


@pytest.mark.parametrize("shape", [(600, 70), (513, 513), (40, 1100)])
def test_larger_slices_are_centred_on_half_pixels(shape):
    """A ramp over the frame comes back as the ramp over the slice: edges of pixels, not centres, are aligned."""
    prior = DeepImagePrior().for_slice(shape, 1)
    problem = observe(slice_of(*shape), Mask(hole_of(*shape)), prior, noise_sigma=1.0, pose=False)
    scale = 512 / max(shape)
    ramp = torch.arange(512.0).expand(512, 512)
    for axis, image in ((0, ramp.T), (1, ramp)):
        native = problem.placed.frame.A(image.contiguous()[None, None])[0, 0]
        line = native[:, shape[1] // 2] if axis == 0 else native[shape[0] // 2]
        n = shape[axis]
        wanted = (torch.arange(n) + 0.5) * scale - 0.5 + (512 - n * scale) / 2
        torch.testing.assert_close(line[1:-1], wanted[1:-1], rtol=0, atol=2e-3)
    assert not problem.unseen.any()


def test_a_slice_beyond_the_largest_frame_is_restored():
    image, hole = slice_of(530, 40), hole_of(530, 40)
    result = restore(
        image, Mask(hole), DeepImagePrior(), samples=2, settings=QUICK.but(steps=1, members=1), device="cpu"
    )
    assert result.shape == (530, 40) and (result.estimate[~hole] == image[~hole]).all()
    assert np.isfinite(result.estimate).all()


@pytest.mark.parametrize(("shape", "factor"), [((19, 26), 2), ((21, 16), (3, 2))])
def test_super_resolution(shape, factor):
    """A finer grid over the same rectangle, whose block means are what was measured."""
    image = slice_of(*shape)
    f = Downsample(factor)
    result = restore(image, f, DeepImagePrior(), samples=2, settings=QUICK, device="cpu", noise_sigma=0.0)
    steps = (factor, factor) if isinstance(factor, int) else factor
    assert result.shape == (shape[0] * steps[0], shape[1] * steps[1])
    again = f.A(torch.from_numpy(result.estimate.astype(np.float64))[None, None])[0, 0].numpy()
    assert np.abs(again - image).max() < 0.01 * np.ptp(image)
    prior = DeepImagePrior().for_slice(result.shape, 1)
    problem = observe(image, f, prior, noise_sigma=1.0, pose=False)
    marked = torch.rand(1, 1, prior.resolution, prior.resolution, generator=torch.Generator().manual_seed(0))
    top, left = ((prior.resolution - n) // 2 for n in result.shape)
    assert torch.equal(
        problem.placed.frame.A(marked), marked[..., top : top + result.shape[0], left : left + result.shape[1]]
    )


def test_colour():
    image, hole = slice_of(40, 33, 3), hole_of(40, 33)
    result = restore(image, Mask(hole), DeepImagePrior(), samples=2, settings=QUICK, device="cpu")
    assert result.estimate.shape == (40, 33, 3) and (result.estimate[~hole] == image[~hole]).all()
    grey = restore(
        image.mean(axis=2), Compose(Grayscale(), Mask(hole)), DeepImagePrior(channels=3), samples=2, settings=QUICK,
        device="cpu",
    )  # fmt: skip
    assert grey.estimate.shape == (40, 33, 3)


def test_seeds_decide():
    """The run's seed and that of the prior's noise; catches a prior that is made anew with another seed."""
    image, hole = slice_of(33, 40), hole_of(33, 40)

    def run(seed: int, own: int = 0) -> np.ndarray:
        prior = DeepImagePrior(seed=own)
        return restore(image, Mask(hole), prior, samples=2, seed=seed, settings=QUICK, device="cpu").samples[:, hole]

    np.random.seed(0)
    first = run(1)
    torch.manual_seed(99)
    np.testing.assert_array_equal(first, run(1))
    assert (first != run(2)).any() and (first != run(1, own=5)).any()


def test_it_fills_a_smooth_hole():
    """A gradient, most of which is measured: far nearer than the mean of the slice after a hundred steps."""
    image, hole = slice_of(32, 32), hole_of(32, 32)
    settings = preset("untrained").but(steps=120, members=1)
    result = restore(image, Mask(hole), DeepImagePrior(), samples=2, settings=settings, device="cpu")
    error = np.sqrt(np.mean((result.estimate - image)[hole] ** 2))
    assert error < 0.5 * np.sqrt(np.mean((image[~hole].mean() - image[hole]) ** 2))
    losses = [t["loss"] for t in result.trace]
    assert losses[-1] < 0.1 * losses[0]


def test_a_variational_fit_is_refused():
    image, hole = slice_of(32, 32), hole_of(32, 32)
    with pytest.raises(InputError, match="deep-image has no density that method") as caught:
        restore(image, Mask(hole), DeepImagePrior(), method="vi", device="cpu")
    assert "\n" not in str(caught.value)


def test_what_is_no_slice_is_refused():
    for image in (np.ones((3,)), np.ones((4, 5, 6, 7)), np.ones((3, 40)), np.ones((20, 20, 4)), np.ones((0, 5))):
        with pytest.raises(InputError):
            restore(image, Mask(np.zeros(image.shape[:2], bool)) if image.ndim > 1 else Downsample(2),
                    DeepImagePrior(), settings=QUICK, device="cpu")  # fmt: skip

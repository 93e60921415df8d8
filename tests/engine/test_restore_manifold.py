"""restore() with a latent convolutional model: in its components, and with all of phi in its box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.settings import preset

QUICK = preset("manifold").but(steps=4)


@pytest.fixture(scope="module")
def drawn(tiny_manifold) -> np.ndarray:
    """An image of the prior's own, grey levels."""
    u = torch.randn(1, 1, 6, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        image = tiny_manifold.synthesize(tiny_manifold.latents.colour(u))
    return ((image[0, 0].numpy() + 1) * 127.5).astype(np.float32)


@pytest.fixture(scope="module")
def hole() -> np.ndarray:
    missing = np.zeros((64, 64), bool)
    missing[20:40, 25:45] = True
    return missing


@pytest.mark.parametrize("method", ["map", "vi"])
def test_in_painting(tiny_manifold, drawn, hole, method):
    result = restore(drawn, Mask(hole), tiny_manifold, method=method, samples=4, settings=QUICK, device="cpu")
    for found in (result.estimate, result.mean):
        assert (found[~hole] == drawn[~hole]).all()
    assert result.samples.shape == (4, 64, 64) and result.latents.shape == (1, len(tiny_manifold.latents.mean))
    assert (result.variance[hole] > 0).all() and (result.variance[~hole] == 0).all()
    assert np.isfinite(result.estimate).all()
    assert {t["phase"] for t in result.trace} == ({"map", "vi"} if method == "vi" else {"map"})


def test_the_prior_finds_an_image_of_its_own(tiny_manifold, drawn, hole):
    mean = tiny_manifold.synthesize(tiny_manifold.latents.mean.expand(1, 1, -1))[0, 0].numpy()
    mean = (mean + 1) * 127.5
    result = restore(
        drawn, Mask(hole), tiny_manifold, samples=4, noise_sigma=0.5, settings=preset("manifold"), device="cpu"
    )
    error, worst = (np.sqrt(np.mean((x - drawn)[hole] ** 2)) for x in (result.estimate, mean))
    assert error < 0.5 * worst


def test_all_of_phi_in_its_box(tiny_manifold, drawn, hole):
    """The paper's way: an ensemble, no L_w; 'vi' is refused in a sentence."""
    box = preset("box").but(steps=3, window=2)
    result = restore(drawn, Mask(hole), tiny_manifold, samples=3, settings=box, device="cpu")
    assert (result.estimate[~hole] == drawn[~hole]).all() and (result.variance[hole] > 0).all()
    assert all("w" not in t and t["phase"] == "ensemble" for t in result.trace)
    with pytest.raises(InputError, match="no density that method"):
        restore(drawn, Mask(hole), tiny_manifold, method="vi", settings=box, device="cpu")


@pytest.mark.parametrize(("method", "changes"), [("map", {}), ("vi", {}), ("map", {"start": "draw"})])
def test_a_seed_repeats_the_result(tiny_manifold, drawn, hole, method, changes):
    """Catches a start that is drawn from the global generator."""
    settings = QUICK.but(**changes)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))
        np.random.seed(len(runs))
        runs.append(
            restore(
                drawn, Mask(hole), tiny_manifold, method=method, samples=3, seed=seed, settings=settings, device="cpu"
            )
        )
    for name in ("estimate", "mean", "variance", "samples", "latents"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
    assert (runs[0].samples[:, hole] != runs[2].samples[:, hole]).any()


def test_a_slice_of_another_size_and_super_resolution(tiny_manifold, drawn):
    image = np.kron(drawn, np.ones((1, 2), np.float32))[5:60, 8:120]
    missing = np.zeros(image.shape, bool)
    missing[20:30, 40:60] = True
    result = restore(image, Mask(missing), tiny_manifold, spacing=(1.5, 0.75), samples=2, settings=QUICK, device="cpu")
    assert result.shape == image.shape and (result.estimate[~missing] == image[~missing]).all()
    coarse = drawn.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    finer = restore(coarse, Downsample(2), tiny_manifold, samples=2, settings=QUICK, device="cpu")
    assert finer.shape == (64, 64)
    np.testing.assert_allclose(finer.estimate.reshape(32, 2, 32, 2).mean(axis=(1, 3)), coarse, atol=0.5)

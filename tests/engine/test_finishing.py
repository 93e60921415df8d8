"""Samples with the texture of scans: what is measured and what statistics say stays; only draws change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.explore import draw
from napari_brgm.engine.finishing import FINISHED, TOGETHER, sharpened
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.engine.volume import restore_volume
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.finish import Finish, place_maps
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
MM = (1.5, 1.5)


@pytest.fixture(scope="module")
def finishing_prior(stack_prior, with_parts):
    """The small prior of heads with a network that adds something anywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Finish((4, 6, 8, 8))
    net.place = place_maps(torch.zeros(1, 24, 24), mirror=True)
    return with_parts(stack_prior, finish=Finish.from_state_dict(net.state_dict()))


@pytest.fixture
def truth(stack_of) -> np.ndarray:
    return stack_of(1, seed=40)[0]


@pytest.fixture
def missing() -> np.ndarray:
    found = np.zeros((24, 24), dtype=bool)
    found[6:17, 7:18] = True
    return found


def both(prior, image, f, **how):
    """Without and with texture."""
    return [
        restore(image, f, prior, spacing=MM, samples=5, settings=PLAIN.but(finish=finish), **how)
        for finish in (False, True)
    ]


@pytest.mark.parametrize("method", ["map", "laplace"])
def test_samples_change_and_nothing_else(finishing_prior, truth, missing, method):
    plain, found = both(finishing_prior, truth, Mask(missing), method=method)
    for name in ("estimate", "mean", "variance", "measured", "latents"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name), err_msg=name)
    samples = np.asarray(found.samples)
    np.testing.assert_array_equal(samples[:, ~missing], np.repeat(truth[~missing][None], 5, 0))
    np.testing.assert_allclose(samples.mean(axis=0)[missing], found.mean[missing], rtol=1e-4)
    changed = (samples != np.asarray(plain.samples))[:, missing]
    assert changed.mean() > 0.9
    assert found.provenance["finished"] == FINISHED and "finished" not in plain.provenance
    assert plain.provenance["unfinished"] == "texture was switched off" and "unfinished" not in found.provenance


def test_the_same_seed_gives_the_same_texture(finishing_prior, truth, missing):
    first, again = (both(finishing_prior, truth, Mask(missing), seed=3)[1] for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    other = both(finishing_prior, truth, Mask(missing), seed=4)[1]
    assert not np.array_equal(first.samples, other.samples)


def test_finished_samples_agree_with_coarse_pixels(finishing_prior, truth):
    f = Downsample(2)
    seen = f(torch.from_numpy(truth)[None, None])[0, 0].numpy()
    plain, found = both(finishing_prior, seen, f)
    np.testing.assert_array_equal(found.variance, plain.variance)
    again = f(torch.from_numpy(np.asarray(found.samples))[:, None])[:, 0].numpy()
    assert np.abs(again - seen).max() < 0.05
    assert not np.array_equal(found.samples, plain.samples)


@pytest.mark.parametrize("what", ["blur", "speckle", "noisy", "stack"])
def test_what_the_network_has_not_learnt_is_left_as_it_is(finishing_prior, stack_of, truth, missing, what):
    """Blurs, holes of single pixels, what no pixel of is kept, and slices restored with their neighbours."""
    if what == "stack":
        volume, where = stack_of(3, seed=41), np.stack([missing * 0, missing, missing * 0]).astype(bool)
        found = restore_volume(
            volume, Mask(where), finishing_prior, spacing=(1.0, *MM), samples=3, settings=PLAIN
        )  # fmt: skip
        assert all("finished" not in one for one in found.provenance["slices"])
        assert found.provenance["unfinished"] == TOGETHER
        return
    speckle = np.random.default_rng(0).random((24, 24)) < 0.5
    f = {"blur": Blur(1.5), "speckle": Mask(speckle), "noisy": Compose(Downsample(2), Blur(1.0))}[what]
    seen = f(torch.from_numpy(truth)[None, None])[0, 0].numpy() if what != "speckle" else truth
    plain, found = both(finishing_prior, seen, f)
    np.testing.assert_array_equal(found.samples, plain.samples)
    assert "finished" not in found.provenance
    why = "holes of more than a few pixels" if what == "speckle" else "coarse pixels that are means of fine ones"
    assert found.provenance["unfinished"].startswith("texture was learnt for") and why in found.provenance["unfinished"]


@pytest.mark.parametrize("blur", [0.6, 0.9])
def test_images_become_as_sharp_as_the_scan_round_the_hole(linear_prior, blur):
    """Images that are a blurred copy of the scan become like it; sharper ones stay."""
    axis = torch.linspace(-3, 3, 9)
    kernel = torch.exp(-axis.square() / (2 * (blur * 0.75) ** 2))
    kernel = (kernel[:, None] * kernel / kernel.sum() ** 2)[None, None]
    truth = 0.3 + 0.2 * torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(2))
    truth = torch.nn.functional.conv2d(torch.nn.functional.pad(truth, (4,) * 4, mode="reflect"), kernel)
    blurred = torch.nn.functional.conv2d(torch.nn.functional.pad(truth, (4,) * 4, mode="reflect"), kernel)
    missing = np.zeros((24, 24), dtype=bool)
    missing[8:14, 8:14] = True
    problem = observe(
        to_grey(truth)[0, 0].numpy(), Mask(missing), linear_prior, alignment=Alignment(0, 0, 1, 0, 0, 255)
    )
    found = sharpened(problem, blurred)
    assert (found - truth).square().mean() < 0.6 * (blurred - truth).square().mean()
    torch.testing.assert_close(sharpened(problem, found * 1.0), found, atol=0.05, rtol=0)
    twice = truth + 3 * (truth - blurred)
    torch.testing.assert_close(sharpened(problem, twice), twice)


def test_the_shipped_brains_draws_have_the_texture_of_a_scan(brain_prior):
    """Energy of the Laplacian in tissue: of validation slices 0.56 before and 1.0 after."""

    plain, finished = (draw(brain_prior, 8, seed=0, finish=finish, device="cpu") for finish in (False, True))

    def energy(images):
        x = np.asarray(images, float)
        laplacian = 4 * x - sum(np.roll(x, shift, axis) for shift in (-1, 1) for axis in (-1, -2))
        return np.square(laplacian[x > 20]).mean()

    assert energy(plain) < 0.65 * energy(finished)

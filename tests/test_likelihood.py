"""The likelihood looks at measured pixels, in grey levels."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.likelihood import Likelihood, from_grey, to_grey
from napari_brgm.observation import all_measured

SIDE = 12


class Squares:
    """Toy features: the image and its square, at 8 px."""

    name, size, least = "squares", 8, 1

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        assert images.shape[1:] == (1, 8, 8)
        return [images, images.square()]


@pytest.fixture
def masked() -> Likelihood:
    missing = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    missing[2:6, 3:9] = True
    y = 255 * torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    y = y.masked_fill(missing, 0.0)
    return Likelihood(all_measured(Mask(missing), y, 10.0), y, features=Squares())


@pytest.fixture
def images() -> torch.Tensor:
    return 2 * torch.rand(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) - 1


def test_pixel_term_by_loops(masked, images):
    """|| I - f(x) ||^2 over measured pixels on 0..255, each image of the batch by itself."""
    for image, found in zip(images, masked.pixel(images), strict=True):
        total = 0.0
        for r in range(SIDE):
            for c in range(SIDE):
                if masked.observation.measured[0, 0, r, c]:
                    total += float(masked.y[0, 0, r, c] - (image[0, r, c] + 1) * 127.5) ** 2
        assert float(found) == pytest.approx(total, rel=1e-4)
    assert masked.entries == SIDE**2


@pytest.mark.parametrize("term", ["pixel", "perceptual"])
def test_missing_pixels_have_no_say(masked, images, term):
    """Catches a hole that leaks into a term through the image; what the observation holds there is 0 by contract."""
    hole = masked.observation.measured < 0.5
    wanted = getattr(masked, term)(images)
    torch.testing.assert_close(getattr(masked, term)(torch.where(hole, 0.3, images)), wanted)
    assert (masked.residual(images)[hole.expand_as(images)] == 0).all()


def test_perceptual_term_is_zero_at_the_truth_and_grows(masked):
    truth = from_grey(masked.y)
    near, far = truth + 0.05, truth + 0.5
    values = [float(masked.perceptual(x)) for x in (truth, near, far)]
    assert values[0] == pytest.approx(0, abs=1e-6) and 0 < values[1] < values[2]
    assert masked.feature_entries == 2 * 64


def test_perceptual_gradient_reaches_the_image(masked, images):
    x = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(masked.perceptual(x).sum(), x)
    assert gradient[:, 0, 0, 0].abs().min() > 0
    assert float(gradient[..., 3, 5].abs().max()) == 0  # in the hole


def test_without_features_there_is_no_perceptual_term(images):
    y = torch.zeros(1, 1, SIDE, SIDE)
    plain = Likelihood(all_measured(Identity(), y, 10.0), y)
    assert plain.perceptual(images).tolist() == [0, 0, 0]


def test_the_target_s_features_are_found_once(masked, images):
    """The observation does not change: catches a network that runs over it at every step."""
    counted = []

    class Counting(Squares):
        def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
            counted.append(len(images))
            return super().__call__(images)

    likelihood = Likelihood(masked.observation, masked.y, Counting())
    first = likelihood.perceptual(images)
    torch.testing.assert_close(likelihood.perceptual(images), first)
    torch.testing.assert_close(first, masked.perceptual(images))
    assert counted == [3, 1, 3]


def test_grey_levels():
    x = torch.tensor([-1.0, 0.0, 1.0])
    assert to_grey(x).tolist() == [0, 127.5, 255]
    torch.testing.assert_close(from_grey(to_grey(x)), x)

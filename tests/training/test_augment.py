"""Augmentation: nothing at p = 0, whole pixels for shifts, black beyond the frame, and a p that follows the signs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.training.augment import AdaptiveStrength, AugmentSettings, augment

ONE, NONE = torch.ones(()), torch.zeros(())
STILL = AugmentSettings(shift=0, scale=0, rotation=0, brightness=0, contrast=0)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return 2 * torch.rand(32, 1, 16, 16, generator=torch.Generator().manual_seed(1)) - 1


def test_nothing_happens_at_p_zero(images, random):
    """Catches blur by the sampling itself."""
    torch.testing.assert_close(augment(images, NONE, AugmentSettings(), random), images, atol=1e-5, rtol=0)


def test_shifts_are_whole_pixels_with_black_beyond(images, random):
    found = augment(images, ONE, replace(STILL, shift=0.25), random)
    seen = set()
    for one, moved in zip(images[:, 0], found[:, 0], strict=True):
        padded = torch.nn.functional.pad(one, (4, 4, 4, 4), value=-1)
        fits = [
            (i, j)
            for i in range(9)
            for j in range(9)
            if torch.allclose(padded[i : i + 16, j : j + 16], moved, atol=1e-4)
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) > 15  # of 81


def test_each_light_is_as_described(images, random):
    """Contrast keeps black black; brightness adds."""
    gain = (augment(images, ONE, replace(STILL, contrast=0.5), random) + 1) / (images + 1).clamp(min=1e-3)
    per_image = gain.flatten(1).median(dim=1).values
    assert per_image.std() > 0.1
    assert (per_image > 0).all()
    offset = augment(images, ONE, replace(STILL, brightness=0.2), random) - images
    assert float(offset.flatten(1).std(dim=1).max()) < 1e-4
    assert 0.1 < float(offset.mean(dim=(1, 2, 3)).std()) < 0.3


def test_rotation_and_scale_keep_the_centre_and_the_middle_of_a_disc(random):
    axis = torch.arange(33) - 16.0
    radius = (axis[:, None].square() + axis[None].square()).sqrt()
    disc = (radius < 8).float().expand(16, 1, 33, 33) * 2 - 1
    turned = augment(disc, ONE, replace(STILL, rotation=45), random)
    assert float((turned - disc).abs().mean()) < 0.05  # a disc stays a disc
    scaled = augment(disc, ONE, replace(STILL, scale=0.3), random)
    areas = ((scaled + 1) / 2).sum(dim=(1, 2, 3)) / ((disc + 1) / 2).sum(dim=(1, 2, 3))
    assert areas.min() < 0.8 < 1.2 < areas.max()
    centre = ((scaled + 1) * axis).sum(dim=(1, 2, 3)) / (scaled + 1).sum(dim=(1, 2, 3))
    assert float(centre.abs().max()) < 0.2


def test_reflection_leaves_no_black_border(random):
    white = torch.ones(16, 1, 16, 16)
    settings = replace(STILL, shift=0.25, rotation=20)
    assert float(augment(white, ONE, settings, random).min()) < 0
    torch.testing.assert_close(augment(white, ONE, replace(settings, edge="reflect"), random), white)


def test_a_share_p_of_the_images_is_changed(random):
    images = torch.rand(2000, 1, 8, 8)
    found = augment(images, torch.tensor(0.3), replace(STILL, brightness=0.2), random)
    changed = ((found - images).abs().amax(dim=(1, 2, 3)) > 1e-5).float().mean()
    assert 0.26 < float(changed) < 0.34


def test_gradients_reach_the_images(images, random):
    """The generator learns through the augmentation: against finite differences."""
    x = images[:2].double().requires_grad_(True)
    state = random.get_state()

    def seen(v: torch.Tensor) -> torch.Tensor:
        random.set_state(state)
        return augment(v, ONE.double(), AugmentSettings(), random)[:, :, ::5, ::5]

    # the grid is float32 by its draws; only the images are differentiated
    step = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(seen(x.float()).sum(), x)
    finite = (seen((x + 1e-2 * step).float()) - seen((x - 1e-2 * step).float())).sum() / 2e-2
    torch.testing.assert_close((gradient * step).sum().float(), finite, rtol=1e-3, atol=1e-3)


def test_p_rises_when_the_discriminator_is_too_sure_and_falls_when_not():
    """Catches a sign the wrong way round: p would collapse while the discriminator overfits."""
    strength = AdaptiveStrength(target=0.6, images=1000, most=0.8, device=torch.device("cpu"))
    sure = torch.cat([torch.ones(9), -torch.ones(1)])  # r_t = 0.8
    for _ in range(10):
        strength.observe(sure)
    strength.adjust()
    assert float(strength.overfitting) == pytest.approx(0.8)
    assert float(strength.p) == pytest.approx(0.1)  # 100 of 1000 images
    strength.observe(torch.cat([torch.ones(15), -torch.ones(10)]) * 3)  # r_t = 0.2
    strength.adjust()
    assert float(strength.p) == pytest.approx(0.075)
    for _ in range(20):
        strength.observe(torch.ones(100))
        strength.adjust()
    assert float(strength.p) == pytest.approx(0.8)
    for _ in range(20):
        strength.observe(-torch.ones(100))
        strength.adjust()
    assert float(strength.p) == 0

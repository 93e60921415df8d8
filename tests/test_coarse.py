"""The measurement in coarser pixels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.coarse import coarser, levels, seen_coarser
from napari_brgm.likelihood import Likelihood
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


def measurement(size=24, weight=False, holes=True, offset=7.0):
    generator = torch.Generator().manual_seed(0)
    image = 200 * torch.rand(1, 1, size, size, generator=generator) + 20
    observed = (torch.rand(1, 1, size, size, generator=generator) > 0.3).float() if holes else torch.ones_like(image)
    own = 0.5 + torch.rand(1, 1, size, size, generator=generator) if weight else None
    likelihood = Likelihood((image + offset) * observed, lambda x: x, observed, sigma=9.0, weight=own)
    return likelihood, image / 127.5 - 1


@pytest.mark.parametrize("block", [2, 4, 5])
@pytest.mark.parametrize("weight", [False, True])
def test_a_constant_residual_costs_the_same_at_every_size(block, weight):
    """Exactly what was observed in a block counts: catches a mean over holes, and blocks cut off at the border."""
    fine, image = measurement(weight=weight)
    coarse = coarser(fine, block)
    torch.testing.assert_close(coarse.pixel(image), fine.pixel(image), rtol=1e-4, atol=0)
    seen = coarse.residual(image)[coarse.observed.expand_as(coarse.observation) > 0]
    torch.testing.assert_close(seen, torch.full_like(seen, 7.0), rtol=1e-3, atol=0)


def test_detail_costs_less_in_coarser_pixels():
    fine, image = measurement()
    rough = image + 0.2 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    costs = [float(coarser(fine, block).pixel(rough)) for block in (1, 2, 4)]
    assert costs[0] == pytest.approx(float(fine.pixel(rough)), rel=1e-4)
    assert costs[0] > 2 * costs[1] > 2 * costs[2]


def test_blocks_without_a_measured_pixel_count_for_nothing():
    fine, image = measurement(holes=False)
    observed = fine.observed.clone()
    observed[..., :8, :] = 0
    empty = Likelihood(fine.observation, fine.forward_map, observed, fine.sigma)
    coarse = coarser(empty, 4)
    assert coarse.observed[..., :2, :].sum() == 0 and coarse.observed[..., 2:, :].min() == 1
    assert torch.isfinite(coarse.pixel(image)).all() and (coarse.residual(image)[..., :2, :] == 0).all()


def test_small_measurements_have_fewer_levels():
    sizes = {16: [2, 1], 32: [4, 2, 1], 12: [1]}
    for size, expected in sizes.items():
        assert levels(measurement(size, offset=0)[0]) == expected


def test_super_resolution_is_pooled_on_its_own_grid(linear_prior):
    low = F.avg_pool2d((linear_prior.mean + 1) * 127.5, 3)[None]
    likelihood = Likelihood(low, lambda x: F.avg_pool2d(x, 3), torch.ones_like(low), 10.0)
    coarse = coarser(likelihood, 2)
    assert coarse.observation.shape[-2:] == (4, 4)
    assert float(coarse.pixel(linear_prior.mean[None])) < 1e-3
    posterior = Posterior(linear_prior, likelihood, preset("default").but(start="mean"))
    assert float(seen_coarser(posterior, 2).terms(posterior.start())[0]["pixel"]) < 1e-3

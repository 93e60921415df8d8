"""The observation is one linear operator with its adjoint; in coarser pixels it costs no more; stacks are channels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Blur, Compose, Downsample, Frame, Identity, Mask, Mixture, Motion
from napari_brgm.inference import complete
from napari_brgm.likelihood import GreyLevels, Likelihood, from_grey
from napari_brgm.observation import CoarseObservation, Observation, all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.settings import preset

SIDE = 24
FRAMES = {
    "no frame": None,
    "finer": Frame((36, 30), SIDE, (0.7, 0.8), (17.0, 14.0), (11.5, 11.0)),
    "coarser": Frame((12, 18), SIDE, (2.1, 1.4), (5.5, 8.0), (11.5, 12.0)),
    "turned": Frame((36, 30), SIDE, (0.7, 0.8), (17.0, 14.0), (11.5, 11.0), 25.0),
}
KINDS = ("mask", "blur", "downsample", "blur, downsample, mask", "motion")


def observation(kind: str, frame: Frame | None, *, weighted: bool = False) -> Observation:
    shape = (SIDE, SIDE) if frame is None else frame.shape
    generator = torch.Generator().manual_seed(3)
    low = (shape[0] // 2, shape[1] // 3)
    f = {
        "mask": Mask(torch.rand(shape, generator=generator) < 0.3),
        "blur": Blur(1.5),
        "downsample": Downsample((2, 3)),
        "blur, downsample, mask": Compose(
            Blur(1.5), Downsample((2, 3)), Mask(torch.rand(low, generator=generator) < 0.3)
        ),
        "motion": Motion(3.0, 20),
    }[kind]
    size = f.observed_shape(shape)
    hidden = f.hidden(size)
    measured = torch.ones(1, 1, *size) if hidden is None else (~hidden).float()[None, None]
    if kind == "blur":
        measured[..., 3:6, 2:] = 0  # what was measured may be less than what the corruption leaves
    weight = 0.5 + torch.rand(measured.shape, generator=generator) if weighted else None
    return Observation(f, measured.double(), 7.0, None if weight is None else weight.double(), frame)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_adjoint(kind, frame):
    """<A x, y> = <x, A' y>: catches a frame of the wrong grid, and hidden pixels that come back."""
    seen = observation(kind, FRAMES[frame])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    ax = seen.A(x)
    y = torch.randn(ax.shape, generator=generator, dtype=torch.float64)
    back = seen.A_adjoint(y)
    assert back.shape == x.shape and seen.linear
    assert float((ax * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-10)
    assert (ax[(seen.measured == 0).expand_as(ax)] == 0).all()
    grey = GreyLevels(seen)
    torch.testing.assert_close(grey.A(x), seen.A(127.5 * x))
    torch.testing.assert_close(grey.A_adjoint(y), 127.5 * back)


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_inverse_by_dense_matrices(ratio):
    """Of all three: what is measured, the corruption and the frame."""
    small = Frame((18, 15), 10, (0.6, 0.7), (8.0, 7.0), (4.5, 4.5), 10.0)
    f = Downsample(3)
    measured = torch.ones(1, 1, 6, 5, dtype=torch.float64)
    measured[..., 1, 2:4] = 0
    seen = Observation(f, measured, 1.0, frame=small)
    a = seen.A(torch.eye(100, dtype=torch.float64).reshape(100, 1, 10, 10)).flatten(1).T  # (M, P)
    y = torch.randn(1, 1, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * measured
    gram = a @ a.T + ratio * torch.eye(30, dtype=torch.float64)
    wanted = a.T @ torch.linalg.pinv(gram, hermitian=True) @ y.flatten()
    found = seen.A_dagger(y, ratio).flatten()
    assert float((found - wanted).norm()) < 1e-4 * float(wanted.norm())
    assert not torch.equal(seen.A_dagger(y, ratio, iterations=2).flatten(), found)


def test_variance_and_precision():
    plain, weighted = observation("mask", None), observation("mask", None, weighted=True)
    where = plain.measured > 0
    assert (plain.variance[where] == 49).all() and torch.isinf(plain.variance[~where]).all()
    torch.testing.assert_close(weighted.variance[where], 49 / weighted.weight[where])
    assert torch.isinf(weighted.variance[~where]).all() and (weighted.precision[~where] == 0).all()
    assert torch.equal(plain.precision, plain.measured)


def test_all_of_it_but_what_the_corruption_hides(some_stack):
    y = torch.zeros(1, 1, 9, 8)
    assert all_measured(Blur(1), y, 3.0).measured.sum() == 72 and all_measured(Blur(1), y, 3.0).sigma == 3
    mask = Mask(some_stack[0])
    assert torch.equal(all_measured(mask, y, 3.0).measured[0, 0] > 0, mask.observed)
    stack = Mask(some_stack)
    assert torch.equal(all_measured(stack, y.expand(1, 3, 9, 8), 3.0).measured[0] > 0, stack.observed)


# ---- stacks: the slices are the channels of one image


@pytest.fixture(scope="module")
def some_stack() -> torch.Tensor:
    """(3, 9, 8) holes of three slices."""
    return torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(5)) < 0.3


@pytest.fixture(scope="module")
def stacked() -> tuple[torch.Tensor, torch.Tensor]:
    """Holes (2, 24, 24) of two slices, and the slices (1, 2, 24, 24) in grey levels, 0 in the holes."""
    hidden = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    hidden[0, 5:12, 8:16] = True
    hidden[1, 9:19, 3:11] = True
    y = 255 * torch.rand(1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    return hidden, y * ~hidden


@pytest.mark.parametrize("frame", ["no frame", "finer", "turned"])
def test_masked_slices_as_channels_are_the_single_ones(frame):
    """Values, adjoint, misfit and block means; catches a mask that is shared by all slices."""
    own = FRAMES[frame]
    shape = (SIDE, SIDE) if own is None else own.shape
    generator = torch.Generator().manual_seed(1)
    hidden = torch.rand(3, *shape, generator=generator) < 0.3
    x, y = torch.rand(2, 3, SIDE, SIDE, generator=generator), 255 * torch.rand(1, 3, *shape, generator=generator)
    y = y * ~hidden
    both = Observation(Mask(hidden), (~hidden).float()[None], 5.0, frame=own)
    whole = Likelihood(both, y)
    total = torch.zeros(2)
    for k in range(3):
        one = Observation(Mask(hidden[k]), (~hidden[k]).float()[None, None], 5.0, frame=own)
        torch.testing.assert_close(both.A(x)[:, k : k + 1], one.A(x[:, k : k + 1]))
        torch.testing.assert_close(both.A_adjoint(y)[:, k : k + 1], one.A_adjoint(y[:, k : k + 1]))
        torch.testing.assert_close(both.A_dagger(y, 0.1)[:, k : k + 1], one.A_dagger(y[:, k : k + 1], 0.1),
                                   rtol=1e-3, atol=0.05)  # fmt: skip
        total += Likelihood(one, y[:, k : k + 1]).pixel(x[:, k : k + 1])
        coarse = whole.coarser(2)
        torch.testing.assert_close(coarse.y[:, k : k + 1], Likelihood(one, y[:, k : k + 1]).coarser(2).y)
    torch.testing.assert_close(whole.pixel(x), total, rtol=1e-5, atol=0)
    assert whole.coarser(2).observation.measured.shape[1] == 3


def joint(prior: LinearModel) -> LinearModel:
    """Two independent draws as the channels of one image."""
    zero = torch.zeros_like(prior.basis)
    basis = torch.cat([torch.cat([prior.basis, zero], dim=1), torch.cat([zero, prior.basis], dim=1)])
    return LinearModel(prior.mean.repeat(2, 1, 1), basis, prior.noise_variance)


def test_the_posterior_of_a_stack_is_that_of_its_slices(linear_prior, stacked):
    """Under a prior of independent slices: catches precision that leaks from one slice into another."""
    hidden, y = stacked
    observed = y - 127.5 * ~hidden  # of images about 0
    whole = joint(linear_prior).posterior(observed, GreyLevels(all_measured(Mask(hidden), y, 20.0)), 400.0)
    for k in range(2):
        part = slice(12 * k, 12 * k + 12)
        seen = GreyLevels(all_measured(Mask(hidden[k]), y[:, :1], 20.0))
        alone = linear_prior.posterior(observed[:, k : k + 1], seen, 400.0)
        torch.testing.assert_close(whole.mean[part], alone.mean, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(whole.precision[part, part], alone.precision, rtol=1e-4, atol=1e-2)
    assert whole.precision[:12, 12:].abs().max() < 1e-3 * whole.precision.abs().max()


def test_kriging_of_a_stack_is_that_of_its_slices(stacked):
    hidden, y = stacked
    lag = torch.fft.fftfreq(SIDE) * SIDE
    field = ResidualField(
        torch.full((SIDE, SIDE), 12.0), torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / 2)
    )
    images = torch.zeros(1, 2, SIDE, SIDE)
    whole = complete(images, field, Likelihood(all_measured(Mask(hidden), y, 10.0), y), 4.0)
    for k in range(2):
        one = Likelihood(all_measured(Mask(hidden[k]), y[:, :1], 10.0), y[:, k : k + 1])
        alone = complete(images[:, :1], field, one, 4.0)
        torch.testing.assert_close(whole[:, k : k + 1], alone, rtol=0, atol=0.01)


def test_thick_slices_of_a_stack(linear_prior):
    """Weighted sums of thin ones, through frame and blur: adjoint, A^+ and the exact posterior by dense matrices."""
    f = Compose(Blur((1.0, 0)), Mixture([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]]))
    frame = Frame((12, 12), SIDE, (2.0, 2.0), (5.5, 5.5), (11.5, 11.5))
    measured = torch.ones(1, 1, 12, 12, dtype=torch.float64)
    measured[..., 2:5, 3:9] = 0
    seen = Observation(f, measured, 3.0, frame=frame)
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 3, 12, 12, generator=generator, dtype=torch.float64)
    assert float((seen.A(x) * y).sum()) == pytest.approx(float((x * seen.A_adjoint(y)).sum()), rel=1e-10)
    again = seen.A(seen.A_dagger(seen.A(x)))
    torch.testing.assert_close(again, seen.A(x), rtol=1e-5, atol=1e-5)
    model = joint(linear_prior)
    single = Observation(f, measured.float(), 3.0, frame=frame)
    data = y[:1].float() * measured.float()
    found = model.posterior(data, GreyLevels(single), 9.0)
    b = single.A(127.5 * model.basis).flatten(1).double()
    missed = (data - single.A(127.5 * model.mean[None])).flatten().double()
    precision = torch.eye(24, dtype=torch.float64) + b @ b.T / 9
    torch.testing.assert_close(found.precision.double(), precision, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found.mean.double(), torch.linalg.solve(precision, b @ missed / 9), rtol=1e-2, atol=1e-2)


# ---- in coarser pixels


def measurement(size=24, weight=False, holes=True, offset=7.0):
    """A likelihood of an image that is off by ``offset``, and the image in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    image = 200 * torch.rand(1, 1, size, size, generator=generator) + 20
    observed = (torch.rand(1, 1, size, size, generator=generator) > 0.3).float() if holes else torch.ones_like(image)
    own = 0.5 + torch.rand(1, 1, size, size, generator=generator) if weight else None
    return Likelihood(Observation(Identity(), observed, 9.0, own), (image + offset) * observed), image / 127.5 - 1


@pytest.mark.parametrize("block", [2, 4, 5])
@pytest.mark.parametrize("weight", [False, True])
def test_a_constant_residual_costs_the_same_at_every_size(block, weight):
    """Exactly what was observed in a block counts: catches a mean over holes, and blocks cut off at the border."""
    fine, image = measurement(weight=weight)
    coarse = fine.coarser(block)
    torch.testing.assert_close(coarse.pixel(image), fine.pixel(image), rtol=1e-4, atol=0)
    seen = coarse.residual(image)[coarse.observation.measured.expand_as(coarse.y) > 0]
    torch.testing.assert_close(seen, torch.full_like(seen, 7.0), rtol=1e-3, atol=0)


def test_detail_costs_less_in_coarser_pixels():
    fine, image = measurement()
    rough = image + 0.2 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    costs = [float(fine.coarser(block).pixel(rough)) for block in (1, 2, 4)]
    assert costs[0] == pytest.approx(float(fine.pixel(rough)), rel=1e-4) and fine.coarser(1) is fine
    ones = Likelihood(CoarseObservation(fine.observation, 1), fine.y)
    assert float(ones.pixel(rough)) == pytest.approx(costs[0], rel=1e-4)
    assert costs[0] > 2 * costs[1] > 2 * costs[2]


def test_blocks_without_a_measured_pixel_count_for_nothing():
    fine, image = measurement(holes=False)
    measured = fine.observation.measured.clone()
    measured[..., :8, :] = 0
    empty = Likelihood(Observation(Identity(), measured, fine.observation.sigma), fine.y * measured)
    coarse = empty.coarser(4)
    seen = coarse.observation.measured
    assert seen[..., :2, :].sum() == 0 and seen[..., 2:, :].min() == 1
    assert torch.isfinite(coarse.pixel(image)).all() and (coarse.residual(image)[..., :2, :] == 0).all()


def test_small_measurements_have_fewer_levels():
    sizes = {16: [2, 1], 32: [4, 2, 1], 12: [1]}
    for size, expected in sizes.items():
        assert measurement(size, offset=0)[0].levels == expected


def test_super_resolution_is_pooled_on_its_own_grid(linear_prior):
    low = F.avg_pool2d((linear_prior.mean + 1) * 127.5, 3)[None]
    likelihood = Likelihood(all_measured(Downsample(3), low, 10.0), low)
    coarse = likelihood.coarser(2)
    assert coarse.y.shape[-2:] == (4, 4)
    assert float(coarse.pixel(linear_prior.mean[None])) < 1e-3
    posterior = Posterior(linear_prior, likelihood, preset("default").but(start="mean"))
    assert float(posterior.coarser(2).terms(posterior.start())[0]["pixel"]) < 1e-3
    assert float(likelihood.pixel(from_grey(torch.zeros(1, 1, SIDE, SIDE)))) > 1e3

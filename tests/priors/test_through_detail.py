"""The network for thick slices: whatever it says, the thick slices are met."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.through_detail import DEGREES, ThroughDetail, between, polynomials


@pytest.fixture(scope="module")
def net() -> ThroughDetail:
    """Untrained, and loud: its detail is as large as the slices."""
    torch.manual_seed(0)
    found = ThroughDetail(channels=8, blocks=2)
    torch.nn.init.normal_(found.leave.weight, std=0.3)
    torch.nn.init.normal_(found.by_thickness, std=0.3)
    return found.eval().requires_grad_(False)


def stack(count: int, seed: int = 0) -> torch.Tensor:
    return 255 * torch.rand(count, 12, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("factor", [1, 2, 3, 8, 12])
def test_polynomials_are_orthogonal_and_have_no_mean(factor):
    found = polynomials(factor)
    there = min(factor - 1, DEGREES)
    gram = found @ found.T / factor
    torch.testing.assert_close(gram, torch.diag((torch.arange(DEGREES) < there).float()), atol=1e-4, rtol=0)
    assert found.sum(dim=1).abs().max() < 1e-4
    assert (found[:there, -1] > 0).all()


def test_the_same_coefficients_are_the_same_course_at_any_factor():
    """Catches polynomials that are scaled, or turned, differently from factor to factor."""
    coarse, fine = polynomials(8)[:2], polynomials(64)[:2]
    torch.testing.assert_close(fine.unflatten(1, (8, 8)).mean(dim=2), coarse, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("factor", [1, 2, 5, 9])
def test_means_of_thin_slices_are_the_thick_ones(net, count, factor):
    thick = stack(count)
    plain, found = between(thick, factor), net.thin(thick, factor, 1.3 * factor)
    for thin in (plain, found):
        assert thin.shape == (count * factor, 12, 16)
        torch.testing.assert_close(thin.unflatten(0, (count, factor)).mean(dim=1), thick, atol=1e-3, rtol=0)
    nothing = factor == 1 or (factor == 2 and count == 1)  # of one slice alone up and down are the same
    assert nothing == torch.allclose(plain, found, atol=1e-2)


def test_what_is_black_stays_black(net):
    thick = stack(5)
    thick[:, :, :6] = 0
    assert net.thin(thick, 4, 4.0)[:, :, :6].abs().max() < 1e-3


def test_two_slices_either_side_are_read_and_the_ends_are_known(net):
    thick = stack(9)
    far, near = thick.clone(), thick.clone()
    far[8], near[6] = 0, 0
    c = net.coefficients(thick, 3.0)
    assert c.shape == (9, DEGREES, 12, 16)
    torch.testing.assert_close(net.coefficients(far, 3.0)[:6], c[:6])
    assert not torch.allclose(net.coefficients(near, 3.0)[4], c[4], atol=0.1)
    same = torch.ones(6, 12, 16) * 90
    ends = net.coefficients(same, 3.0)
    torch.testing.assert_close(ends[1], ends[2])
    assert not torch.allclose(ends[0], ends[2], atol=0.1)


def test_thickness_is_in_mm_and_between_whole_ones_linear_in_the_layers(net):
    thick = stack(3)
    share = net._share(4.25)
    assert share.tolist() == pytest.approx([0, 0, 0.75, 0.25, 0, 0, 0])
    assert not torch.allclose(net.coefficients(thick, 4.0), net.coefficients(thick, 5.0), atol=0.1)
    torch.testing.assert_close(net.coefficients(thick, 8.0), net.coefficients(thick, 11.0))


def test_sides_that_cannot_be_shuffled_are_refused(net):
    with pytest.raises(InputError, match="multiples of 2"):
        net.coefficients(torch.zeros(3, 12, 15), 3.0)


def test_weights_come_back_from_half_precision(net):
    found = ThroughDetail.from_state_dict({name: one.half() for name, one in net.state_dict().items()})
    thick = stack(4)
    torch.testing.assert_close(found.thin(thick, 3, 3.0), net.thin(thick, 3, 3.0), atol=2.0, rtol=0)


@pytest.mark.parametrize("name", ["enter.weight", "by_thickness", "second.1.bias", "strength"])
def test_weights_that_do_not_fit_are_refused(net, name):
    weights = dict(net.state_dict())
    for wrong in (None, weights[name][..., :-1], torch.full_like(weights[name], float("nan"))):
        broken = {**weights, name: wrong} if wrong is not None else {k: v for k, v in weights.items() if k != name}
        with pytest.raises(WeightsError, match="thick slices"):
            ThroughDetail.from_state_dict(broken)


def test_it_is_the_same_whichever_end_of_the_stack_comes_first():
    """Catches a network that was taught both ways and read one: top-down scans differed by a seventh of the range."""
    torch.manual_seed(1)
    net = ThroughDetail(4, 1, 2).eval()
    with torch.no_grad():
        net.leave.weight.mul_(6)
    thick = 200 * torch.rand(5, 8, 8)
    found, turned = net.thin(thick, 3, 3.0), net.thin(thick.flip(0), 3, 3.0).flip(0)
    torch.testing.assert_close(found, turned, atol=1e-3, rtol=0)
    assert (found - torch.repeat_interleave(thick, 3, dim=0)).abs().max() > 5

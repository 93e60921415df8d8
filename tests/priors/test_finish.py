import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors import finish
from napari_brgm.priors.finish import Finish, high_pass, packed, place_maps


def _finished(net: Finish, x: torch.Tensor, seed: int) -> torch.Tensor:
    noise = net.noise(len(x), tuple(x.shape[-2:]), torch.Generator().manual_seed(seed))
    place = place_maps(torch.zeros(1, x.shape[-1], x.shape[-1]), mirror=True)[..., : x.shape[-2] // 2, :]
    return net(x, torch.ones_like(x), place, noise)


def test_a_finished_draw_depends_on_its_noise_and_on_nothing_else():
    torch.manual_seed(0)
    net, x = Finish((4, 6, 8, 8)), torch.randn(2, 1, 48, 64) / 3
    with torch.no_grad():
        first, again, other = (_finished(net, x, seed) for seed in (1, 1, 2))
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4
    assert (first - x).abs().max() <= 1  # tanh


def test_a_network_that_adds_nothing_gives_the_draw():
    net, x = Finish((4, 6, 8, 8)), torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        net.out.weight.zero_()
        net.out.bias.zero_()
        assert torch.equal(_finished(net, x, 0), x)


def test_place_tells_left_from_right_unless_the_anatomy_is_symmetric():
    mean = torch.zeros(1, 16, 16)
    sided, symmetric = place_maps(mean, mirror=False), place_maps(mean, mirror=True)
    assert sided.shape == symmetric.shape == (1, 3, 8, 8)
    assert torch.equal(symmetric, symmetric.flip(-1))
    assert sided[0, 2, 0, 0] == -1
    assert sided[0, 2, 0, -1] == 1


def test_high_pass_takes_away_what_is_level():
    assert high_pass(torch.full((1, 1, 12, 12), 0.3)).abs().max() < 1e-6


@pytest.fixture
def placed() -> Finish:
    """With random weights, for a frame of 96 px."""
    torch.manual_seed(3)
    net = Finish((4, 6, 8, 8))
    net.place = place_maps(torch.rand(1, 96, 96) - 0.5, mirror=True)
    return Finish.from_state_dict(net.state_dict())


def _random(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _where(rows: slice, columns: slice) -> torch.Tensor:
    found = torch.zeros(96, 96, dtype=torch.bool)
    found[rows, columns] = True
    return found


def test_what_is_far_from_the_hole_stays_and_a_seed_says_what_becomes_of_the_rest(placed):
    x, where = torch.randn(5, 1, 96, 96) / 3, _where(slice(40, 52), slice(8, 21))
    first, again, other = (placed.finished(x, where, _random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    changed = first != x
    assert changed[..., 24:72, :40].float().mean() > 0.99 and changed.sum() <= 5 * 48 * 40
    assert torch.equal(placed.finished(x, torch.zeros_like(where), _random()), x)


def test_a_part_of_the_frame_is_finished_at_its_place(placed, monkeypatch):
    """Catches a place or noise that is shifted against the images."""
    monkeypatch.setattr(finish, "native_precision", lambda _device: torch.float32)
    x, rows = torch.randn(1, 1, 96, 96) / 3, slice(24, 72)  # the hole, 16 pixels on either side, multiples of 8
    found = placed.finished(x, _where(slice(44, 52), slice(44, 52)), _random())
    part, noise = x[..., rows, rows], placed.noise(1, (48, 48), _random())
    with torch.no_grad():
        direct = placed(part, torch.ones_like(part), placed.place[..., 12:36, 12:36], noise)
    torch.testing.assert_close(found[..., rows, rows], direct)


def test_a_check_ends_it(placed):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        placed.finished(torch.zeros(1, 1, 96, 96), _where(slice(0, 96), slice(0, 96)), _random(), stop)


def test_eight_bits_are_enough_and_are_not_rounded_twice(placed):
    again = Finish.from_state_dict(packed(placed))
    x, hole = torch.randn(2, 1, 96, 96) / 3, torch.ones(96, 96, dtype=torch.bool)
    missed = placed.finished(x, hole, _random()) - again.finished(x, hole, _random())
    assert 0 < missed.square().mean().sqrt() * 127.5 < 0.5
    for name, one in packed(again).items():
        torch.testing.assert_close(one, packed(placed)[name], msg=name)


@pytest.mark.parametrize("trouble", ["missing", "shape", "place", "nan", "step"])
def test_weights_that_do_not_fit_are_refused(placed, trouble):
    weights = packed(placed)
    if trouble == "missing":
        del weights["on_full.first.weight"]
    if trouble == "shape":
        weights["enter.weight"] = weights["enter.weight"][:, :-1]
    if trouble == "place":
        weights["place"] = weights["place"][..., :-1]
    if trouble == "nan":
        weights["out.bias"] = weights["out.bias"] * float("nan")
    if trouble == "step":
        weights["enter.weight.step"] = weights["enter.weight.step"] * float("inf")
    with pytest.raises(WeightsError, match="the network for the texture of draws in these weights"):
        Finish.from_state_dict(weights)


def test_bfloat16_moves_finished_draws_by_less_than_half_a_grey_level(monkeypatch, brain_prior):
    net, x = brain_prior.parts.finish, brain_prior.sample(2, seed=3)
    where = torch.zeros(x.shape[-2:], dtype=torch.bool)
    where[40:72, 48:80] = True
    found = []
    for precision in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(finish, "native_precision", lambda _device, precision=precision: precision)
        found.append(net.finished(x, where, torch.Generator().manual_seed(0)))
    assert found[1].dtype == torch.float32
    apart = 127.5 * (found[1] - found[0])
    assert torch.equal(found[0], x) is False
    assert 0 < apart[..., where].square().mean().sqrt() < 0.5

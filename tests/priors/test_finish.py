import torch

from napari_brgm.priors.finish import Finish, high_pass, place_maps


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

import torch

from napari_brgm.training.deblock import deblocked


def test_small_steps_between_blocks_are_spread_and_edges_stay():
    x = torch.full((1, 1, 24, 24), 50.0)
    x[..., 8:16] += 3  # a step between blocks
    x[..., 16:, :] += 100  # an edge there
    found = deblocked(x)
    steps = (found[0, 0, 2, 1:] - found[0, 0, 2, :-1]).abs()
    assert steps.max() < 2  # of 3
    assert torch.equal(found[..., 16:, 11] - found[..., 15:16, 11], x[..., 16:, 11] - x[..., 15:16, 11])


def test_slopes_and_steps_inside_blocks_stay():
    slope = torch.arange(24.0).expand(1, 1, 24, 24) * 2
    assert torch.allclose(deblocked(slope), slope)
    inside = torch.zeros(1, 1, 24, 24)
    inside[..., 12:] = 4
    assert torch.equal(deblocked(inside), inside)

import torch

from napari_brgm.training.bandwidths import band_edges, fit_shrinkage


def test_bands_double():
    assert band_edges(40) == [0, 4, 8, 16, 32, 40]
    assert band_edges(3) == [0, 3]


def test_draws_lean_on_slices_only_where_those_tell_something_of_new_subjects():
    generator = torch.Generator().manual_seed(1)
    subjects = torch.arange(300)
    latents = torch.randn(300, 8, generator=generator)
    latents[:, :4] = torch.randint(0, 2, (300, 4), generator=generator) * 2.0 - 1  # two values, far from a Gaussian
    latents[:, :4] += 0.1 * torch.randn(300, 4, generator=generator)
    found = fit_shrinkage(latents, subjects)
    assert found[:4].min() > 0.9
    assert found[4:].max() < 0.5

"""The pyramid holds the whole image, band by band."""

from __future__ import annotations

import torch

from napari_brgm.training.pyramid import enlarged, laplacian_pyramid, pyramid_distance


def test_bands_add_up_to_the_image():
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    *bands, rest = laplacian_pyramid(images, 3)
    assert [band.shape[-1] for band in bands] == [32, 16, 8]
    assert rest.shape[-1] == 4
    whole = rest
    for band in reversed(bands):
        whole = enlarged(whole) + band
    torch.testing.assert_close(whole, images)


def test_even_grey_has_no_detail():
    *bands, rest = laplacian_pyramid(torch.full((1, 1, 16, 16), 0.3), 2)
    assert all(float(band.abs().max()) < 1e-6 for band in bands)
    torch.testing.assert_close(rest, torch.full_like(rest, 0.3))


def test_fine_detail_lies_in_the_finest_band():
    """Catches a filter that shifts or that lets the finest grid through to the coarse levels."""
    chequers = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    bands = laplacian_pyramid(chequers[None, None], 2)
    assert [round(float(band[..., 2:-2, 2:-2].abs().mean()), 3) for band in bands[:1]] == [1.0]
    assert all(float(band.abs().mean()) < 0.2 for band in bands[1:])


def test_distance_is_the_sum_of_band_means():
    error = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    expected = sum(float(band.abs().mean()) for band in laplacian_pyramid(error, 2))
    assert abs(float(pyramid_distance(error, 2)) - expected) < 1e-5
    assert len(laplacian_pyramid(error, 9)) == 3  # 16, 8, and the rest at 4

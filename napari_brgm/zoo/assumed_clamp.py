"""What it would change if activations were not clamped, for weights that do not say whether they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior

__all__ = ["clamp_matters", "images_of", "without_clamp"]

_COMPARED = 4  # images


def images_of(prior: StyleGAN2Prior) -> Tensor:
    """Images (4, C, R, R) of some z, with the stored noise maps."""
    assert prior.mapping is not None
    z = torch.randn(_COMPARED, prior.mapping.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat([prior.synthesize(w[None], "const") for w in prior.mapping(z)])


def without_clamp(prior: StyleGAN2Prior, images: Tensor) -> float:
    """Largest difference between ``images_of(prior)`` and the same without any clamp; the range is [-1, 1]."""
    layers = [layer for layer in prior.synthesis.modules() if getattr(layer, "clamp", None) is not None]
    kept = [layer.clamp for layer in layers]
    for layer in layers:
        layer.clamp = None  # type: ignore[assignment]  # no parameter
    try:
        free = images_of(prior)
    finally:
        for layer, clamp in zip(layers, kept, strict=True):
            layer.clamp = clamp
    return float((free - images).abs().nan_to_num(torch.inf, torch.inf).max())


def clamp_matters(prior: StyleGAN2Prior) -> None:
    """Look whether a clamp that a file does not state changes what it draws.

    Raises
    ------
    WeightsError
        It does.
    """
    if without_clamp(prior, images_of(prior)) > 0:
        raise WeightsError(
            "the file does not say whether activations are clamped, and its images depend on it; put conv_clamp ('256' "
            "or 'none') into its metadata, or run `napari-brgm weights import`, which takes 256 and says so"
        )

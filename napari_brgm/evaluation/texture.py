"""Texture of draws: whether a crowd of them can be told from real slices.

    Laplacian     mean (L x)^2 in tissue, over the real slices'
    octaves       mean power of x less the crowd's mean image, by cycles across the frame, over the real slices'
    told          share that a logistic regression on 27 x 16 figures of texture gets right, learnt on half of the
                  subjects and of the draws, tried on the others: 0.5 is a coin's

Figures of texture: of steps along rows and columns and of the high-pass, on three scales and in 4 x 4 blocks, mean
modulus and two ratios of higher moments. Learnt without a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.calibration import TISSUE
from napari_brgm.evaluation.frechet import frechet_distance

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Images = npt.NDArray[np.floating]

__all__ = ["Texture", "octaves_of", "texture_of"]

_SCALES, _BLOCKS = 3, 4
_RIDGE = 1e-3
_ITERATIONS = 200


@dataclass(frozen=True, slots=True)
class Texture:
    """Figures of a crowd of draws against real slices.

    Attributes
    ----------
    frechet : float
        Of simple features (frechet.py).
    laplacian : float
    octaves : tuple of float
        From 2 to 4 cycles across the frame up to the finest.
    told : float
    """

    frechet: float
    laplacian: float
    octaves: tuple[float, ...]
    told: float


def texture_of(drawn: Images, real: Images, subjects: npt.NDArray[np.integer]) -> Texture:
    """Measure draws (N, R, R) against real slices (M, R, R) of ``subjects`` (M,), grey levels 0..255.

    Both are rounded, as images in files are.
    """
    x, y = (np.clip(np.round(images), 0, 255).astype(np.float32) for images in (drawn, real))
    tissue = y.mean(axis=0) > 4 * TISSUE
    power = [octaves_of(images) for images in (x, y)]
    laplacian = _laplacian(x, tissue) / _laplacian(y, tissue)
    return Texture(frechet_distance(x, y), laplacian, tuple((power[0] / power[1]).tolist()), _told(x, y, subjects))


def octaves_of(images: Images) -> npt.NDArray[np.float64]:
    """Mean power (K,) of images (N, R, R) less their mean, by octaves, from 2 cycles across the frame to size / 2."""
    size = images.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    mean = images.mean(axis=0)
    power = np.zeros((size, size))
    for image in images:
        power += np.abs(np.fft.fft2(image - mean)) ** 2 / len(images)
    edges = 2 ** np.arange(1, int(np.log2(size)) - 1)
    return np.array([np.mean(power[(radius >= low) & (radius < 2 * low)]) for low in edges])


def _laplacian(images: Images, tissue: npt.NDArray[np.bool_]) -> float:
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    found = F.conv2d(torch.from_numpy(images)[:, None], kernel, padding=1)[:, 0]
    return float(found[:, torch.from_numpy(tissue)].square().mean())


def _figures(images: Images) -> Tensor:
    """(N, 27 x 16) figures of texture."""
    x = torch.from_numpy(images)[:, None] / 127.5 - 1
    found = []
    for _ in range(_SCALES):
        high = x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        for view in (x.diff(dim=-1), x.diff(dim=-2), high):
            first, second, fourth = (
                F.adaptive_avg_pool2d(view.abs() ** k, _BLOCKS).flatten(1) ** (1 / k) for k in (1, 2, 4)
            )
            found += [first, (second / (first + 1e-3)).log1p(), (fourth / (second + 1e-3)).log1p()]
        x = F.avg_pool2d(x, 2)
    return torch.cat(found, dim=1)


def _told(drawn: Images, real: Images, subjects: npt.NDArray[np.integer]) -> float:
    fake, true = _figures(drawn), _figures(real)
    odd = torch.from_numpy(np.unique(subjects, return_inverse=True)[1] % 2 == 1)
    half = len(fake) // 2
    x = torch.cat([true[~odd], fake[:half]])
    y = torch.cat([torch.ones(int((~odd).sum())), torch.zeros(half)])
    mean, scale = x.mean(dim=0), x.std(dim=0) + 1e-6
    z = (x - mean) / scale
    weights = torch.zeros(z.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=_ITERATIONS)

    def loss() -> float:
        optimiser.zero_grad()
        found = (
            F.binary_cross_entropy_with_logits(z @ weights[1:] + weights[0], y) + _RIDGE * weights[1:].square().sum()
        )
        found.backward()  # type: ignore[no-untyped-call]
        return float(found.detach())

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        right = [
            (((images - mean) / scale @ weights[1:] + weights[0] > 0) == truth).float().mean()
            for images, truth in ((true[odd], True), (fake[half:], False))
        ]
    return float(sum(right) / 2)

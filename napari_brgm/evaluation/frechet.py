"""A Fréchet distance between two sets of images on simple named features: are samples like real slices as a crowd?

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

of features in units of the real set's standard deviations: 4 x 4 block means (where is what), the spectrum in octaves
(how sharp, how grainy) and quantiles of the grey levels (contrast). No network and no weights; it is no FID.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, Eq. 6, with other features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Images = npt.NDArray[np.floating]

__all__ = ["feature_names", "features", "frechet_distance"]

_BLOCKS = 4
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_LEAST_GREY, _LEAST_OCTAVE = 1.0, 0.1  # smallest standard deviations that count: grey levels, log10 of power


def feature_names(size: int) -> tuple[str, ...]:
    """Names of the columns of ``features`` for images of ``size`` pixels."""
    blocks = tuple(f"mean of block {i},{j}" for i in range(_BLOCKS) for j in range(_BLOCKS))
    quantiles = tuple(f"quantile {q:g}" for q in _QUANTILES)
    return blocks + quantiles + tuple(f"octave {2**k}-{2 ** (k + 1)} cycles" for k in range(_octaves(size)))


def features(images: Images) -> npt.NDArray[np.float64]:
    """Features (N, D) of images (N, R, R) in grey levels; R is a multiple of 4."""
    array = np.clip(np.asarray(images, dtype=np.float32), 0, 255)
    n, size = len(array), array.shape[-1]
    side = size // _BLOCKS
    blocks = array.reshape(n, _BLOCKS, side, _BLOCKS, side).mean(axis=(2, 4)).reshape(n, -1)
    quantiles = np.quantile(array.reshape(n, -1), _QUANTILES, axis=1).T
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None] * size)
    power = np.stack([np.abs(np.fft.rfft2(image)) ** 2 for image in array]) / size**2
    octaves = [power[:, (frequency >= 2**k) & (frequency < 2 ** (k + 1))].mean(axis=1) for k in range(_octaves(size))]
    logarithms = np.log10(np.stack(octaves, axis=1) + 1e-3)
    return np.concatenate([blocks, quantiles, logarithms], axis=1, dtype=np.float64)


def frechet_distance(found: Images, real: Images) -> float:
    """Squared Fréchet distance of the features of two sets (N, R, R), in units of ``real``'s standard deviations."""
    x, y = features(found), features(real)
    octaves = _octaves(real.shape[-1])
    least = np.full(y.shape[1], _LEAST_GREY)
    least[-octaves:] = _LEAST_OCTAVE
    scale = np.maximum(y.std(axis=0), least)
    x, y = x / scale, y / scale
    c1, c2 = np.cov(x.T), np.cov(y.T)
    roots = np.sqrt(np.clip(np.linalg.eigvals(c1 @ c2).real, 0, None))  # eigenvalues of C1 C2 are not negative
    return float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * roots.sum())


def _octaves(size: int) -> int:
    return int(np.log2(size)) - 1

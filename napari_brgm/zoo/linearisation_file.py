"""The linearisation in a weights file of either family (priors/linearisation.py).

Tensors: ``linearisation.mean`` (C, R, R) and ``linearisation.basis`` (K, C, r, r), and ``linearisation.noise`` (), the
variance of what the line misses. A file without them has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.linear_gaussian import LinearGaussian

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.prior import PriorInfo

__all__ = ["linearisation_of", "linearisation_tensors"]


def linearisation_tensors(line: LinearGaussian | None) -> dict[str, Tensor]:
    """Tensors of a file; none of None."""
    if line is None:
        return {}
    noise = torch.tensor(line.noise_variance)
    return {
        "linearisation.mean": line.mean.half(), "linearisation.basis": line.coarse.half(), "linearisation.noise": noise
    }  # fmt: skip


def linearisation_of(tensors: dict[str, Tensor], info: PriorInfo) -> LinearGaussian | None:
    """Linearisation in the tensors of a file (floats in float32), or None.

    Raises
    ------
    WeightsError
        The parts do not fit together.
    """
    if "linearisation.basis" not in tensors:
        return None
    mean, basis, noise = (tensors[f"linearisation.{part}"].float() for part in ("mean", "basis", "noise"))
    fits = mean.ndim == 3 and basis.ndim == 4 and len(mean) == basis.shape[1] and 0 not in basis.shape
    if (
        not fits
        or mean.shape[-1] % basis.shape[-1]
        or basis.shape[-2] != basis.shape[-1]
        or noise.ndim
        or not noise >= 0
    ):
        raise WeightsError("the linearisation in these weights is malformed")
    return LinearGaussian(mean, basis, float(noise), info)

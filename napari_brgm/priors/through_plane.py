"""Through the plane: how the slices of a stack belong together, for latents and residual field alike.

    x(z) = G(u(z)) + e(z),   E[u_k(z) u_k(z')] = rho_k(|z - z'|),   E[e(z) e(z')'] = S F^-1 (R_f rho_f(|z - z'|)) F S
    rho(d) = sum_m a_m kappa_m(d),   a_m >= 0,   sum_m a_m = 1

Each whitened latent u_k has a correlation of its own along the slice axis: the place of the slice in the head changes
over centimetres, the folds of the cortex over millimetres. So has each spatial frequency f of the residual field, whose
broad features go on for longer than its grain (stack_field.py). kappa_m are Gaussian and Matern-5/2 correlations of
lengths from 0.7 to 60 mm and a nugget (1 at distance 0, else 0), so that every mixture is a correlation, of slices at
any distances. Of one slice alone nothing changes: its latents are N(0, I), its residual field is what it was.

Source: nested covariance structures, Journel and Huijbregts, "Mining Geostatistics" (1978), Ch. III.B; the Matern
correlation: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Eq. 4.17.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls
from torch import Tensor

from napari_brgm.errors import InputError

__all__ = ["FREQUENCIES", "ThroughPlane", "correlations"]

# cycles per frame pixel, at which the residual field's correlation is given; linear between them
FREQUENCIES = (0.0, 0.03, 0.06, 0.1, 0.14, 0.18, 0.22, 0.26, 0.3, 0.35, 0.42, 0.5)

_LENGTHS_MM = tuple(float(length) for length in np.geomspace(0.7, 60.0, 16))
_JITTER = 1e-5  # of the variance: correlations of near slices are nearly singular matrices
_HELPS, _FURTHEST_MM = 0.2, 20.0  # correlation from which on a slice helps, and how far that is looked for
_NEAR_MM = 2.0  # lags below it count most in a fit: they say how well a neighbour knows a slice


@dataclass(frozen=True, eq=False)
class ThroughPlane:
    """Correlations along the slice axis.

    Attributes
    ----------
    latents : (K, M) Tensor
        Shares a_m of each whitened latent's correlation; rows sum to 1.
    residual : (F, M) Tensor
        The same of the residual field at each of FREQUENCIES.

    Raises
    ------
    InputError
        They are no shares of the M known correlations.
    """

    latents: Tensor
    residual: Tensor

    def __post_init__(self) -> None:
        known = 2 * len(_LENGTHS_MM) + 1
        shapes = self.latents.ndim == self.residual.ndim == 2 and len(self.residual) == len(FREQUENCIES)
        each = [*self.latents.double(), *self.residual.double()] if shapes else [self.residual.new_zeros(0)]
        if not all(len(row) == known and (row >= 0).all() and abs(float(row.sum()) - 1) < 0.01 for row in each):
            raise InputError(f"correlations along the slice axis are shares of {known} known ones, which add up to 1")

    @cached_property
    def reach(self) -> float:
        """How far a measured slice helps another, mm: to where the residual field's correlation falls to a fifth.

        At the middle of FREQUENCIES, which is where most of its power is. What is further tells of latents only that
        the slices between tell better: with 2 mm of slices on either side 2 % more was missed than with 4, with 6 mm
        nothing was gained (subjects of the validation set, slices of 1 mm).
        """
        at = torch.linspace(0, _FURTHEST_MM, 4 * int(_FURTHEST_MM) + 1)
        apart = self.of_residual(at)[len(FREQUENCIES) // 2, 0]
        near = at[apart >= _HELPS]
        return float(near[-1])

    def of_latents(self, places: Tensor) -> Tensor:
        """(K, n, n) correlations of each latent between slices at ``places`` (n,) mm, float64."""
        return self._between(self.latents, places)

    def of_residual(self, places: Tensor) -> Tensor:
        """(F, n, n) correlations of the residual field at FREQUENCIES, slices at ``places`` (n,) mm, float64."""
        return self._between(self.residual, places)

    def _between(self, shares: Tensor, places: Tensor) -> Tensor:
        shares = shares.double() / shares.double().sum(dim=1, keepdim=True)
        at = places.double().cpu().numpy()
        known = torch.from_numpy(_known(np.abs(at[:, None] - at))).to(shares.device)  # (n, n, M)
        found: Tensor = torch.einsum("ijm,km->kij", known, shares)
        return (found + _JITTER * torch.eye(len(places), dtype=found.dtype, device=found.device)) / (1 + _JITTER)

    def to(self, device: torch.device | str) -> ThroughPlane:
        """Copy on ``device``."""
        return ThroughPlane(self.latents.to(device), self.residual.to(device))

    @classmethod
    def fit(cls, latents: Tensor, residual: Tensor, lag_mm: float) -> ThroughPlane:
        """Fit to correlations that were measured.

        Parameters
        ----------
        latents : (K, L) Tensor
            Of each latent at 0, 1, ... L - 1 times ``lag_mm``.
        residual : (F, L) Tensor
            Of the residual field at each of FREQUENCIES.
        """
        at = np.arange(latents.shape[1]) * lag_mm
        weight = 1 / (1 + at / _NEAR_MM)
        known = _known(at)

        def shares(measured: Tensor) -> npt.NDArray[np.float64]:
            found, _ = nnls(known * weight[:, None], measured.double().cpu().numpy() * weight)
            if not found.sum():  # nothing but noise
                found[-1] = 1.0
            return np.asarray(found / found.sum())

        both = (torch.from_numpy(np.stack([shares(row) for row in rows])).float() for rows in (latents, residual))
        return cls(*both)


def correlations(values: Tensor, lags: int) -> Tensor:
    """Correlations of series of slices at 0, 1, ... lags - 1 slices apart.

    Parameters
    ----------
    values : (S, Z, K) Tensor
        Of S stacks of Z neighbouring slices, mean 0.
    lags : int
        At most Z.

    Returns
    -------
    (K, lags) Tensor
    """
    count = values.shape[1]
    if not 1 <= lags <= count:
        raise InputError(f"stacks of {count} slices have at most {count} lags, got {lags}")
    products = [(values[:, : count - lag] * values[:, lag:]).mean(dim=(0, 1)) for lag in range(lags)]
    found = torch.stack(products, dim=1)
    return found / found[:, :1].clamp(min=torch.finfo(found.dtype).tiny)


def _known(apart: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """(..., M) the known correlations at distances (...) mm."""
    relative = apart[..., None] / np.array(_LENGTHS_MM)
    root = np.sqrt(5) * relative
    matern = (1 + root + root**2 / 3) * np.exp(-root)
    return np.concatenate([matern, np.exp(-(relative**2) / 2), (apart == 0.0)[..., None]], axis=-1)

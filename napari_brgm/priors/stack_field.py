"""Stack field: the residual fields of a stack's slices, correlated along their axis.

    E[e_i e_j'] = S F^-1 (R_f rho_f,ij) F S

S is the standard deviation of a slice's field, R_f its spectrum, rho_f,ij the correlation of slices i and j at spatial
frequency f. The slices are the channels of one image, so that a stack is completed like a slice
(inference/residual.py). Of one slice alone it is the field of that slice.

Source: spectral representation of stationary vector random fields, Chiles and Delfiner, "Geostatistics" (2012), Sec.
5.6 (coregionalisation frequency by frequency).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.priors.through_plane import FREQUENCIES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["StackField", "radii"]


class StackField:
    """Zero-mean Gaussian fields of n slices.

    Parameters
    ----------
    slice_ : ResidualField
        Of each.
    correlation : (F, n, n) Tensor
        Between them at FREQUENCIES.
    known : int
        How many of the first slices have a field that is given. The others' is then what these leave of it: its
        covariance is the conditional one, and ``expected`` its mean.
    """

    def __init__(self, slice_: ResidualField, correlation: Tensor, known: int = 0) -> None:
        self.slice, self.correlation, self.known = slice_, correlation, known
        between = _interpolated(correlation.double(), slice_.correlation.shape[-1])  # (P, Q, n, n)
        power = slice_.spectrum.double()[..., None, None]
        across, left = between[..., known:, :known], between[..., known:, known:]
        self._gain = across.float()
        if known:
            gain = torch.linalg.solve(between[..., :known, :known], across.mT).mT
            left = left - gain @ across.mT
            self._gain = gain.float()
        pad = (known, 0, known, 0)
        self._whole = F.pad(left * power, pad).float()
        self._root = F.pad(torch.linalg.cholesky(left) * power.sqrt(), pad).float()

    @property
    def std(self) -> Tensor:
        """(R, R) of each slice, grey levels."""
        return self.slice.std

    def covariance(self, z: Tensor) -> Tensor:
        """The covariance times z (B, n, R, R), grey levels."""
        return self.std * self.correlated(self.std * z)

    def correlated(self, z: Tensor) -> Tensor:
        """That of fields of std 1 times z."""
        return self.filtered(z, self._whole)

    @property
    def slices(self) -> int:
        return int(self._whole.shape[-1])

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw fields (count, n, R, R) in grey levels; made on the CPU so that a seed means the same everywhere."""
        shape = count, self._root.shape[-1], *self.slice.correlation.shape
        return self.std * self.filtered(torch.randn(shape, generator=generator).to(self.std), self._root)

    def expected(self, known: Tensor) -> Tensor:
        """Mean (B, n, R, R) of all slices where the first ones are ``known`` (B, k, R, R), grey levels."""
        others = self.std * self.filtered(known / self.std, self._gain) if self.known else known[:, :0]
        found: Tensor = torch.cat([known, others], dim=1)
        return found

    def filtered(self, x: Tensor, matrices: Tensor) -> Tensor:
        """Images (B, n, h, w) of size R or of the torus, mixed frequency by frequency (P, Q, l, n): (B, l, R, R)."""
        size, whole = self.std.shape[-1], tuple(self.slice.correlation.shape)
        seen = torch.fft.rfft2(x, s=whole).permute(2, 3, 1, 0)  # (P, Q, n, B)
        pairs = torch.view_as_real(seen).flatten(-2)  # (P, Q, n, 2 B)
        mixed = torch.view_as_complex((matrices @ pairs).reshape(*matrices.shape[:3], -1, 2))
        found: Tensor = torch.fft.irfft2(mixed.permute(3, 2, 0, 1), s=whole)
        return found[..., :size, :size]


def radii(side: int) -> Tensor:
    """(P, P // 2 + 1) spatial frequencies of a real transform of images of P pixels a side, cycles per pixel."""
    rows, columns = torch.fft.fftfreq(side), torch.fft.rfftfreq(side)
    return torch.hypot(rows[:, None], columns[None])


def _interpolated(rows: Tensor, side: int) -> Tensor:
    """(P, Q, n, n) of matrices (F, n, n) at FREQUENCIES: linear between, the last beyond."""
    known = torch.tensor(FREQUENCIES, device=rows.device)
    at = radii(side).to(known).clamp(max=float(known[-1]))
    after = torch.bucketize(at, known[1:-1], right=True) + 1
    share = ((at - known[after - 1]) / (known[after] - known[after - 1]))[..., None, None].to(rows)
    return rows[after - 1] * (1 - share) + rows[after] * share

"""Residual field: what a generator cannot draw, as a Gaussian random field.

    x = G(w) + e,   e ~ N(0, S R S),   S = diag(std map),  R = stationary correlation

The std map says where (cortex, rims), the correlation how far (a few pixels). Estimated from slices of subjects that
the generator's linear part was not fitted to. It is the representation error of generative priors, put to use: it lets
measured pixels speak for their neighbours, and it belongs in the posterior variance.

Source: Gaussian random field regression (kriging; Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, Sec. 2.2); products with R by the fast Fourier transform on the torus. The torus is larger than the frame where
anatomy reaches the frame's border, so that opposite borders know nothing of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ResidualField"]

_FLOOR = 5.0  # grey levels, added in quadrature where the field tells how much to trust a pixel
_LEAST = 1.5  # grey levels; no pixel is quite certain, and anatomy larger than the training set's must find room
_TISSUE = 3.0  # grey levels; where the residual is smaller there is too little signal to tell the correlation


@dataclass(frozen=True)
class ResidualField:
    """A zero-mean Gaussian field on the generator frame.

    Attributes
    ----------
    std : (R, R) Tensor
        Grey levels.
    correlation : (P, P) Tensor
        Correlation with pixel (0, 0), by lag on a torus of side P >= R; 1 at lag 0.
    """

    std: Tensor
    correlation: Tensor

    @cached_property
    def spectrum(self) -> Tensor:
        """(P, P // 2 + 1) eigenvalues of the correlation, none negative; those of the other half are the same."""
        spectrum: Tensor = torch.fft.rfft2(self.correlation.float()).real
        return spectrum.clamp(min=1e-4)

    @property
    def relative_variance(self) -> Tensor:
        """(R, R) variance relative to its mean over the frame: how the representation error differs between pixels."""
        power = self.std.square() + _FLOOR**2
        return power / power.mean()

    @property
    def level(self) -> float:
        """Root of the mean variance over the frame, grey levels."""
        return float(self.std.square().mean().sqrt().clamp(min=1e-3))

    def covariance(self, z: Tensor) -> Tensor:
        """S R S z for z (B, 1, R, R)."""
        return self.std * self.correlated(self.std * z)

    def correlated(self, z: Tensor) -> Tensor:
        """R z."""
        return self.filtered(z, self.spectrum)

    @property
    def slices(self) -> int:
        return 1

    def filtered(self, z: Tensor, spectrum: Tensor) -> Tensor:
        """Images z (B, 1, R, R) through a stationary filter, ``spectrum`` (P, P // 2 + 1) on the field's torus."""
        size, whole = self.std.shape[-1], self.correlation.shape[-2:]
        found: Tensor = torch.fft.irfft2(spectrum * torch.fft.rfft2(z, s=whole), s=whole)
        return found[..., :size, :size]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n fields (n, 1, R, R) in grey levels; made on the CPU so that a seed means the same on every device."""
        size = self.std.shape[-1]
        white = torch.randn(n, 1, *self.correlation.shape, generator=generator).to(self.std)
        coloured: Tensor = torch.fft.irfft2(self.spectrum.sqrt() * torch.fft.rfft2(white), s=white.shape[-2:])
        return self.std * coloured[..., :size, :size]

    def to(self, device: torch.device | str) -> ResidualField:
        return ResidualField(self.std.to(device), self.correlation.to(device))

    @classmethod
    def fit(cls, residuals: Tensor, reach: float = 12.0) -> ResidualField:
        """Estimate from residuals (N, 1, R, R) in grey levels; the correlation is tapered over ``reach`` pixels."""
        size = residuals.shape[-1]
        power = residuals.square().mean(dim=0, keepdim=True)  # (1, 1, R, R)
        std = F.avg_pool2d(power.sqrt(), 5, 1, 2, count_include_pad=False)[0, 0]
        inside = std > _TISSUE
        margin = round(2 * reach)  # beyond it the taper leaves 2 % of a correlation
        rows, columns = (inside.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
        free = min((size - 1 - int(i.max()) + int(i.min()) for i in (rows, columns) if len(i)), default=size)
        torus = size if free >= margin else size + min(margin, size)
        lag = torch.fft.fftfreq(torus) * torus
        products, counts = torch.zeros(torus, torus), torch.fft.fft2(inside.float(), s=(torus, torus)).abs().square()
        for part in torch.split(residuals, 64):
            scaled = torch.where(inside, part[:, 0] / std.clamp(min=1.0), torch.zeros(()))
            products += torch.fft.fft2(scaled, s=(torus, torus)).abs().square().sum(dim=0)
        correlation = torch.fft.ifft2(products / len(residuals)).real / torch.fft.ifft2(counts).real.clamp(min=50)
        taper = torch.exp(-(lag[:, None].square() + lag[None].square()) / reach**2)
        return cls(std.clamp(min=_LEAST), correlation / correlation[0, 0] * taper)

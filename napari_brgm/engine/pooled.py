"""Pooled: observation and linear prior on a coarser grid, where many poses are weighed at once.

For a pose q (shift, scale, rotation), with blocks of measured pixels averaged (their number is n):

    y ~ N(g (mean + basis w) + o, sigma^2 / n),   w ~ N(0, I),  g ~ N(1, sigma_g^2),  o ~ N(0, sigma_o^2)

To first order y - mean = [basis, sigma_g mean, sigma_o 1] u with u ~ N(0, I): w, gain and offset together are the ridge
solution u(q), and

    energy(q) = min_u |u|^2 + n |y - mean_q - [...]_q u|^2 / sigma^2 + |q / spread|^2

is the squared length of one vector of residuals, which is what a Gauss-Newton step needs (variable projection).

Source: Golub and Pereyra, "Separable nonlinear least squares", Inverse Problems 19 (2003) R1; psi fitted together with
w is the "future work" of BRGM Sec. 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from napari_brgm.corruptions import Frame
    from napari_brgm.priors.linear_model import LinearModel

__all__ = ["Intensity", "Pooled", "pooled"]

_COMPONENTS = 48  # leading ones: outline, ventricles, brightness
_CHUNK = 32  # poses at a time
_BEYOND = 1000.0  # grey levels; what is brighter is an artefact
SPREAD = (40.0, 40.0, 0.15, 0.2)  # standard deviations of a pose: frame pixels, log scale, radians


@dataclass(frozen=True, slots=True)
class Intensity:
    """Spread of gain (relative) and offset (grey levels) before the data are seen; 0 leaves one as it is."""

    gain: float
    offset: float


@dataclass(frozen=True)
class Pooled:
    """What is measured, on blocks of pixels, and the model's images.

    Attributes
    ----------
    offsets : (M, 2) Tensor
        Rows and columns of the blocks from the frame's native centre, in frame pixels of the first guess.
    centre : (2,) Tensor
        Where that centre lies in the frame, frame pixels.
    values : (C, M) Tensor
        Measured means, grey levels.
    accuracy : (M,) Tensor
        sqrt(n) / sigma.
    images : (K + 1, C, r, r) Tensor
        Mean and components, grey levels above black.
    resolution : int
        R: frame pixels of the images' side.
    intensity : Intensity
    turn : float
        Angle, in radians, from which that of a pose counts.
    """

    offsets: Tensor
    centre: Tensor
    values: Tensor
    accuracy: Tensor
    images: Tensor
    resolution: int
    intensity: Intensity
    turn: float

    def residuals(self, poses: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals (P, N), whose squares sum to the energy, and u (P, K + 2), of poses (P, 4).

        A pose is (rows, columns, log scale, angle): frame pixels, and radians as in ``Frame``.
        """
        parts = [self._residuals(part) for part in torch.split(poses, _CHUNK)]
        return torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts])

    def energy(self, poses: Tensor) -> Tensor:
        """(P,) energies of poses (P, 4)."""
        return torch.cat([self._residuals(part)[0].square().sum(dim=1) for part in torch.split(poses, _CHUNK)])

    def _residuals(self, poses: Tensor) -> tuple[Tensor, Tensor]:
        model = self._seen(poses) * self.accuracy  # (P, K + 1, C, M)
        mean, basis = model[:, 0].flatten(1), model[:, 1:].flatten(2)  # (P, C M), (P, K, C M)
        y = (self.values * self.accuracy).flatten() - mean  # (P, C M)
        ones = self.accuracy.expand(self.values.shape).flatten().expand_as(mean)
        extra = torch.stack([self.intensity.gain * mean, self.intensity.offset * ones], dim=1)
        a = torch.cat([basis, extra], dim=1)  # (P, K + 2, C M)
        precision = a @ a.transpose(1, 2)
        precision.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = torch.linalg.cholesky(precision)
        u = torch.cholesky_solve(a @ y[..., None], factor)  # (P, K + 2, 1)
        left = y - (u.transpose(1, 2) @ a)[:, 0]
        return torch.cat([left, u[..., 0], poses / poses.new_tensor(SPREAD)], dim=1), u[..., 0]

    def _seen(self, poses: Tensor) -> Tensor:
        """Mean and components (P, K + 1, C, M) at the blocks' places; 0 outside the frame."""
        angle, scale = poses[:, 3] + self.turn, poses[:, 2].exp()
        cosine, sine = angle.cos(), angle.sin()
        turn = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2) * scale[:, None, None]
        at = self.offsets @ turn + (self.centre + poses[:, :2])[:, None]  # (P, M, 2) frame pixels
        points = ((2 * at + 1) / self.resolution - 1).flip(-1)
        found = F.grid_sample(
            self.images.flatten(0, 1)[None], points[None], mode="bilinear", padding_mode="zeros", align_corners=False
        )  # (1, (K + 1) C, P, M)
        count, channels = self.images.shape[:2]
        return found[0].reshape(count, channels, *found.shape[2:]).permute(2, 0, 1, 3)


def pooled(
    frame: Frame, part: LinearModel, observed: Tensor, seen: Tensor, sigma: float, side: int, intensity: Intensity
) -> Pooled:
    """Bring observation and prior to a grid of about ``side`` blocks in the frame.

    Parameters
    ----------
    frame : Frame
        First guess, of the observation's grid; angles of poses count from its rotation.
    part : LinearModel
    observed : (1, C, h, w) Tensor
        Grey levels.
    seen : (1, 1, h, w) Tensor
        1 where measured, else 0.
    sigma : float
        Noise of an observed pixel in grey levels.
    side : int
        Of the prior's images; that of the prior, where it is no multiple.
    intensity : Intensity
    """
    resolution = part.resolution
    step = max(resolution // side, 1)
    step = step if resolution % step == 0 else 1
    size = (resolution // step,) * 2
    mean = F.interpolate(part.mean[None] + 1, size=size, mode="area")
    basis = F.interpolate(part.coarse[:_COMPONENTS], size=size, mode="area")
    images = torch.cat([mean, basis]) * 127.5  # (K + 1, C, r, r)
    if images.shape[1] != observed.shape[1]:
        images = images.mean(dim=1, keepdim=True)  # colour seen in gray
    block = tuple(max(round(step / r), 1) for r in frame.ratio)
    height, width = observed.shape[-2:]
    pad = (0, -width % block[1], 0, -height % block[0])
    count = F.avg_pool2d(F.pad(seen, pad), block) * (block[0] * block[1])  # (1, 1, m, n)
    total = F.avg_pool2d(F.pad(observed.clamp(-_BEYOND, _BEYOND) * seen, pad), block) * (block[0] * block[1])
    kept = count[0, 0] > 0
    axes = [
        ((torch.arange(n, device=observed.device) + 0.5) * b - 0.5 - c) * r
        for n, b, c, r in zip(kept.shape, block, frame.centre_native, frame.ratio, strict=True)
    ]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[kept].to(observed)
    return Pooled(
        offsets=offsets,
        centre=observed.new_tensor(frame.centre_frame),
        values=total[0][:, kept] / count[0][:, kept],
        accuracy=count[0, 0][kept].sqrt() / sigma,
        images=images,
        resolution=resolution,
        intensity=intensity,
        turn=math.radians(frame.rotation),
    )

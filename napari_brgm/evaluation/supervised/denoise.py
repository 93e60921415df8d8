"""denoised(): a ``RestoringNet`` as a denoiser of Gaussian noise of any strength, the prior of plug-and-play methods.

    D(x, s) = m + c_skip d + c_out U(c_in d, ln(s) / 4),    d = x - m
    c_skip = s_d^2 / (s^2 + s_d^2),   c_out = s s_d / (s^2 + s_d^2)^(1/2),   c_in = 1 / (s^2 + s_d^2)^(1/2)

x: images in [0, 1] with noise of standard deviation s;  m: the mean training image;  s_d = 1/4. Without U it is the
Wiener filter of white images about m. The squared error over c_out^2, which U's targets make of one size at all s, is
what it is trained by, s log-normal: the least squared error is the posterior mean, which such methods are derived for.

Source: Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", NeurIPS
2022, Eq. 7 and 8, Table 1 (there about 0 in [-1, 1], where s_d is 1/2 and ln s has mean -1.2 and deviation 1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.evaluation.supervised.net import RestoringNet

__all__ = ["denoised", "drawn_strengths", "weight_of"]

_DATA = 0.25  # s_d
_MOST = 5.0  # strength that U is told at most: it has hardly seen more, and hardly anything of the image is left there
_MIDDLE, _SPREAD = -1.2, 1.2  # of the logarithm of a strength in [-1, 1], which is twice that in [0, 1]


def denoised(net: RestoringNet, x: Tensor, strength: Tensor) -> Tensor:
    """Denoise images.

    Parameters
    ----------
    net : RestoringNet
    x : (B, 1, R, R) Tensor
        Images in [0, 1] and noise.
    strength : (B, 1, 1, 1) Tensor
        Standard deviations of the noise.
    """
    total = strength.square() + _DATA**2
    apart = x - net.mean
    hint = (strength.clamp(max=_MOST).log() / 4).expand_as(x)
    correction = net.correction(apart / total.sqrt(), hint)
    return net.mean + _DATA**2 / total * apart + strength * _DATA / total.sqrt() * correction


def weight_of(strength: Tensor) -> Tensor:
    """1 / c_out^2, by which squared errors count."""
    return (strength.square() + _DATA**2) / (strength * _DATA).square()


def drawn_strengths(normal: Tensor) -> Tensor:
    """Strengths in [0, 1] of standard normal numbers."""
    return torch.exp(_MIDDLE + _SPREAD * normal) / 2

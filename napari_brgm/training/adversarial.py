"""What adversarial training minimises, and how: losses, R1, path lengths, Adam without momentum, averaged weights.

    L_D = E softplus(-D(real)) + E softplus(D(fake)),   L_G = E softplus(-D(fake))        (non-saturating logistic)
    R1  = gamma / 2 E |grad D(real)|^2                                    (Mescheder et al., arXiv 1801.04406, Eq. 9)
    PL  = weight E (|J^T y| - a)^2,  y ~ N(0, 1) / sqrt(pixels),  a the running mean of |J^T y|  (1912.04958, Eq. 4)

The two regularisers run every k-th step as a step of their own, times k; learning rate and beta2 are adjusted for the
k + 1 steps (Karras et al., arXiv 1912.04958, App. B, "lazy regularization").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MomentlessAdam",
    "PathLength",
    "average_weights",
    "discriminator_loss",
    "generator_loss",
    "gradient_norm",
    "r1",
]


def generator_loss(fake: Tensor) -> Tensor:
    """L_G of logits (B,) of generated images."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D of logits (B,) of real and of generated images."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """|grad D|^2 (B,) at images (B, C, R, R), which require a gradient and gave logits (B,); differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


class PathLength:
    """PL, with its running mean ``a``.

    ws differ between layers where latents are mixed, so |J^T y| is the root of the mean over layers of each layer's
    squared norm.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self.decay = decay
        self.mean = torch.zeros((), device=device)  # a

    def lengths(self, images: Tensor, ws: Tensor, generator: torch.Generator) -> Tensor:
        """|J^T y| (B,) of images (B, C, R, R) made from ws (B, L, D), which require a gradient; differentiable."""
        y = torch.randn(images.shape, device=images.device, generator=generator)
        y = y / math.sqrt(images.shape[-1] * images.shape[-2])
        (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)  # (B, L, D)
        return (gradient.square().sum(dim=2).mean(dim=1) + 1e-12).sqrt()

    def penalty(self, lengths: Tensor) -> Tensor:
        """Move ``a`` towards lengths (B,), then E (length - a)^2."""
        self.mean.lerp_(lengths.detach().mean(), self.decay)
        return (lengths - self.mean).square().mean()


class MomentlessAdam:
    """Adam with beta1 = 0 (Kingma and Ba, arXiv 1412.6980, Algorithm 1): no first moment is kept.

        v <- beta2 v + (1 - beta2) g^2,   p <- p - rate g / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    net : nn.Module
    rate, beta2 : float
        As for training without lazy regularisation.
    lazy_every : int
        k, a regularisation step after so many steps; 0: there is none.
    """

    def __init__(self, net: nn.Module, rate: float, beta2: float, lazy_every: int = 0) -> None:
        share = lazy_every / (lazy_every + 1) if lazy_every else 1.0
        self.rate, self.beta2 = rate * share, beta2**share
        self.names = [name for name, _ in net.named_parameters()]
        self.parameters = list(net.parameters())
        self.powers = [torch.zeros_like(p) for p in self.parameters]  # v
        self.count = 0  # t

    @torch.no_grad()
    def step(self) -> None:
        """Use up the gradients; parameters without one stay."""
        self.count += 1
        used = [(p, p.grad, v) for p, v in zip(self.parameters, self.powers, strict=True) if p.grad is not None]
        ps: list[Tensor] = [p for p, _, _ in used]
        # one gradient laid out otherwise (1 x 1 kernels may be) makes all of them go one by one
        gs = [g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for p, g, _ in used]
        vs = [v for _, _, v in used]
        torch._foreach_mul_(vs, self.beta2)
        torch._foreach_addcmul_(vs, gs, gs, 1 - self.beta2)
        denominators = torch._foreach_sqrt(vs)
        correction = math.sqrt(1 - self.beta2**self.count)
        torch._foreach_div_(denominators, correction)
        torch._foreach_add_(denominators, 1e-8)
        torch._foreach_addcdiv_(ps, gs, denominators, -self.rate)
        for p in ps:
            p.grad = None


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Euclidean norm () of all gradients together."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


@torch.no_grad()
def average_weights(average: nn.Module, net: nn.Module, images: int, shown: int, half_life: float) -> None:
    """Move ``average`` towards ``net`` after ``images`` more of ``shown`` images.

    The half-life, in images, is at most a twentieth of what was shown: early weights are soon forgotten.
    """
    keep = 0.5 ** (images / max(min(half_life, 0.05 * shown), 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)

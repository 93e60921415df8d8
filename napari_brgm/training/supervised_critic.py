"""RestorationCritic: tells restored patches from true ones; MONAI's discriminator and loss.

    learns      mean (D(true) - 1)^2 / 2 + mean D(x)^2 / 2
    pulls x by  mean (D(x) - 1)^2

on patches of 70 pixels of an image and the hint, with spectral norms (SN-PatchGAN, arXiv 1806.03589, Sec. 3.3). Images
are rolled by a few pixels from step to step: its strides leave a grid in its gradient, which would always lie in the
same place of the blocks that the network folds, and be seen in the images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["RestorationCritic"]


class RestorationCritic:
    """A discriminator and its optimiser.

    Parameters
    ----------
    filters : int
        Of the finest level.
    rate : float
        Of Adam.
    """

    def __init__(self, filters: int, rate: float) -> None:
        from monai.losses.adversarial_loss import PatchAdversarialLoss
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        self.net: nn.Module = PatchDiscriminator(2, filters, in_channels=2, norm=None)  # type: ignore[arg-type]
        for layer in list(self.net.modules()):
            if isinstance(layer, nn.Conv2d):
                nn.utils.parametrizations.spectral_norm(layer)
        self.adam = torch.optim.Adam(self.net.parameters(), rate, (0.5, 0.99))
        self._loss = PatchAdversarialLoss(criterion="least_squares")

    def learn(self, drawn: Tensor, truth: Tensor, hint: Tensor, shift: tuple[int, int]) -> float:
        """Make a step on images (B, 1, R, R), rolled; gives the loss, which is 0.5 of a critic that knows nothing."""
        self.net.requires_grad_(True)
        images = torch.cat([drawn.detach(), truth])
        of_drawn, of_truth = self._seen(images, torch.cat([hint, hint]), shift).chunk(2)
        loss = 0.5 * (self._loss(of_drawn, False, True) + self._loss(of_truth, True, True))
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        self.net.requires_grad_(False)
        return float(loss.detach())

    def pull(self, drawn: Tensor, x: Tensor, hint: Tensor, shift: tuple[int, int]) -> Tensor:
        """Gradient by ``x``, of which ``drawn`` (B, 1, R, R) was made: where the critic wants it to go."""
        (gradient,) = torch.autograd.grad(self._loss(self._seen(drawn, hint, shift), True, False), x)
        return gradient

    def saved(self) -> dict[str, Any]:
        """State for ``save_checkpoint``."""
        return {"net": dict(self.net.state_dict()), "adam": self.adam.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that ``saved`` made; what is raised of another is torch's."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])

    def _seen(self, images: Tensor, hint: Tensor, shift: tuple[int, int]) -> Tensor:
        found: Tensor = self.net(torch.cat([images, hint], dim=1).roll(shift, dims=(2, 3)))[-1]
        return found

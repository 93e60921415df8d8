"""Everything that changes while a supervised rival is trained, one step of it, and its checkpoint.

    L1            mean |x - truth| over the hole, or over the image
    adversarial   L1 + w mean (D(x) - 1)^2        (training/supervised_critic.py)
    noise         mean (x - truth)^2 / c_out^2    (evaluation/supervised/denoise.py)

with w such that at x the gradient of the second is half as long as that of the first (VQGAN, arXiv 2012.09841, Eq. 7),
and 0 in the first steps, in which D learns alone.

Networks are MONAI's. What is random in a step depends on the seed and its number only: resuming repeats the
uninterrupted run. The weights that are kept are an average over the last thousand steps or so.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.evaluation.supervised.denoise import denoised, drawn_strengths, weight_of
from napari_brgm.evaluation.supervised.net import FirstGuess, RestoringNet, enlarged, filled
from napari_brgm.training.supervised_critic import RestorationCritic
from napari_brgm.training.supervised_holes import random_hole

if TYPE_CHECKING:
    from napari_brgm.evaluation.supervised.role import SupervisedRole
    from napari_brgm.training.slice_bank import SliceArray

__all__ = ["SupervisedSettings", "SupervisedState"]

_FIRST_FACTORS = (2, 4, 8)
_FACTOR_16_FROM = 256  # side of a frame
_TINY = 1e-12
_SHIFTS = 8  # pixels; twice the strides of the critic


@dataclass(frozen=True, slots=True)
class SupervisedSettings:
    """How it is trained."""

    batch: int = 8  # slices a step
    rate: float = 1e-3  # of Adam; L1 alone
    adversarial_rate: float = 2e-4  # with a discriminator, whose own is twice as high
    pull: float = 0.5  # of the critic, in lengths of the gradient of L1
    alone: int = 200  # steps in which the critic learns alone
    warm_up: int = 200  # steps in which the rate rises
    decay: float = 0.999  # of the average
    filters: int = 24  # of the discriminator's finest level
    seed: int = 0

    def counting_for(self, role: SupervisedRole) -> dict[str, Any]:
        """Those that the training of a role depends on."""
        of_another = ("rate",) if role.adversarial else ("adversarial_rate", "pull", "alone", "filters")
        return {key: value for key, value in asdict(self).items() if key not in of_another}


class SupervisedState:
    """Networks, optimisers, counters, and the losses so far.

    Parameters
    ----------
    role : SupervisedRole
    slices : SliceArray
        Grey training slices of one size R.
    settings : SupervisedSettings
    begin : RestoringNet or None
        Weights to begin with; of the same role's network and size.
    """

    def __init__(
        self, role: SupervisedRole, slices: SliceArray, settings: SupervisedSettings, begin: RestoringNet | None = None
    ) -> None:
        self.role, self.settings, self.slices = role, settings, slices
        size = slices.images.shape[-1]
        self.factors = _factors(size) if role.kind == "low-res" else ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.net = RestoringNet.of(role, size)
            self.critic = (
                RestorationCritic(settings.filters, 2 * settings.adversarial_rate) if role.adversarial else None
            )
        if begin is None:
            self.net.mean.copy_(_mean(slices))
        else:
            self.net.load_state_dict(begin.state_dict())
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.rate = settings.adversarial_rate if role.adversarial else settings.rate
        betas = (0.5, 0.99) if role.adversarial else (0.9, 0.99)
        self.adam = torch.optim.Adam(self.net.parameters(), self.rate, betas)
        self.steps = 0
        self.seconds = 0.0  # of one core
        self.losses: list[list[float]] = []  # slices shown, L1 in grey levels, loss of the critic
        self._sums, self._count = [0.0, 0.0], 0

    @property
    def shown(self) -> int:
        """Slices shown."""
        return self.steps * self.settings.batch

    def step(self) -> None:
        """Show a batch."""
        rng = np.random.default_rng([self.settings.seed, self.steps])
        truth = self._truth(rng)
        if self.role.kind == "noise":
            x, off, loss = self._denoised(truth, rng)
        else:
            guess, region = self._corrupted(truth, rng)
            x = self.net(guess)
            off = loss = ((x - truth).abs() * region).sum() / region.sum()
        (gradient,) = torch.autograd.grad(loss, x)  # (B, 1, R, R)
        of_critic = 0.0
        if self.critic is not None:
            drawn = torch.where(region > 0, x, truth)
            down, right = (int(n) for n in rng.integers(_SHIFTS, size=2))
            of_critic = self.critic.learn(drawn, truth, guess.hint, (down, right))
            if self.steps >= self.settings.alone:
                pull = self.critic.pull(drawn, x, guess.hint, (down, right))
                gradient = gradient + self.settings.pull * gradient.norm() / (pull.norm() + _TINY) * pull
        for group in self.adam.param_groups:
            group["lr"] = self.rate * min((self.steps + 1) / self.settings.warm_up, 1.0)
        self.adam.zero_grad(set_to_none=True)
        x.backward(gradient)  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.adam.step()
        self.steps += 1
        self._follow()
        self._sums = [self._sums[0] + 255 * float(off.detach()), self._sums[1] + of_critic]
        self._count += 1

    def log(self) -> list[float]:
        """Keep the mean losses since the last call; give them."""
        count = max(self._count, 1)
        self.losses.append([float(self.shown), *(round(total / count, 5) for total in self._sums)])
        self._sums, self._count = [0.0, 0.0], 0
        return self.losses[-1]

    def saved(self) -> dict[str, Any]:
        """State for ``save_checkpoint``."""
        state: dict[str, Any] = {
            "net": dict(self.net.state_dict()), "average": dict(self.average.state_dict()),
            "adam": self.adam.state_dict(), "steps": self.steps, "seconds": self.seconds, "losses": self.losses,
            "sums": self._sums, "count": self._count,
        }  # fmt: skip
        if self.critic is not None:
            state["critic"] = self.critic.saved()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that ``saved`` made.

        Raises
        ------
        WeightsError
            It is not of such a training.
        """
        try:
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.adam.load_state_dict(state["adam"])
            if self.critic is not None:
                self.critic.restore(state["critic"])
            self.steps, self.seconds = int(state["steps"]), float(state["seconds"])
            self.losses, self._sums, self._count = list(state["losses"]), list(state["sums"]), int(state["count"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError("the checkpoint is not one of such a network; choose another folder") from error

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(p.isfinite().all()) for p in self.net.parameters())

    def _truth(self, rng: np.random.Generator) -> Tensor:  # (B, 1, R, R), 0..1
        chosen = rng.integers(len(self.slices.images), size=self.settings.batch)
        return torch.from_numpy(self.slices.images[chosen].astype(np.float32) / np.float32(self.slices.white))

    def _denoised(self, truth: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 1, R, R), their mean absolute error, and the loss."""
        normal, noise = (
            torch.from_numpy(rng.standard_normal(n, np.float32)) for n in ((len(truth), 1, 1, 1), truth.shape)
        )
        strength = drawn_strengths(normal)
        x = denoised(self.net, truth + strength * noise, strength)
        loss = ((x - truth).square() * weight_of(strength)).mean()
        return x, (x - truth).abs().mean(), loss

    def _corrupted(self, truth: Tensor, rng: np.random.Generator) -> tuple[FirstGuess, Tensor]:
        """First guess, and 1 where errors count (B, 1, R, R)."""
        if self.role.kind == "low-res":
            factor = int(rng.choice(self.factors))
            return enlarged(F.avg_pool2d(truth, factor), factor), torch.ones_like(truth)
        holes = np.stack([random_hole(truth.shape[-1], rng) for _ in truth])
        missing = torch.from_numpy(holes)[:, None]
        return filled(truth, missing, self.net.mean), missing.to(truth)

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow, faster in the beginning."""
        share = 1 - min(self.settings.decay, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(self.average.parameters(), self.net.parameters(), strict=True):
            mine.lerp_(theirs, share)


def _factors(size: int) -> tuple[int, ...]:
    return (*_FIRST_FACTORS, 16) if size >= _FACTOR_16_FROM else _FIRST_FACTORS


def _mean(slices: SliceArray) -> Tensor:  # (1, R, R), 0..1
    mean = slices.images[:, 0].mean(axis=0, dtype=np.float64) / slices.white
    return torch.from_numpy(mean.astype(np.float32))[None]

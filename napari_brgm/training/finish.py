"""Adversarial training of the finish (priors/finish.py): draws of a linear model against slices.

    L_D = E softplus(D(fake) - D(real)),   L_F = E softplus(D(real) - D(fake))           (relativistic, paired)
        + gamma / 2 E (|grad D(real)|^2 + |grad D(fake)|^2), every fourth step, times four
    L_F + low |pool_8(F - x)| + whole |F - slice|                         (low frequencies; projections of slices)

Patches count in proportion to what was drawn in them. Noise on what the discriminators see falls to nothing.

Source: Jolicoeur-Martineau, arXiv 1807.00734 (relativistic loss); Huang et al., arXiv 2501.05441, Sec. 3 (with R1 and
R2); Karras et al., arXiv 1912.04958, App. B (lazy regularisation).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.priors.finish import WIDTHS, Finish, Widths, place_maps
from napari_brgm.training.adversarial import average_weights
from napari_brgm.training.finish_critics import PatchCritic, WholeCritic
from napari_brgm.training.finish_inputs import Batch, FinishInputs, Shares, back_projected

__all__ = ["DARK", "FinishSettings", "FinishTraining"]

_FRESH = 4  # steps after which a new hole is made
_LAZY = 4  # steps between two penalties of the discriminators
_PENALISED = 16  # real and as many drawn images in one
_CLIP = 3.0
_BETAS = (0.5, 0.99)
_AHEAD = 100  # steps that the discriminators learn alone, no more than a tenth of all
DARK, _MARGIN = 20.0, 2  # grey levels of the mean where anatomy ends; pixels round it
_JITTER = 4  # pixels, to either side: blocks of JPEG have no place in the frame


@dataclass(frozen=True, slots=True)
class FinishSettings:
    """How the finish is trained.

    Attributes
    ----------
    images : int
        Drawn images shown.
    batch : int
    widths : tuple of int
        Of the network.
    critic : tuple of int
        Channels of the patch discriminators.
    pools : tuple of int
        A patch discriminator for each, on images averaged over so many pixels.
    rate, critic_rate : float
        Of Adam; constant for two thirds, then falling to zero as half a cosine.
    gamma, later_gamma : float
        Of the penalties, in the first quarter and after it.
    low : float
        Weight of the low frequencies in holes and on coarser grids.
    free_low : float
        The same for draws of the density.
    whole : float
        Weight of projections.
    noise : float
        On the discriminators' images at the beginning; falls to 0 in the first third.
    averaged : int
        Half-life of the averaged weights, images.
    seed : int
    precision : torch.dtype
        torch.bfloat16, where the processor computes in it, or torch.float32.
    """

    images: int = 300_000
    batch: int = 64
    widths: Widths = WIDTHS
    critic: tuple[int, int, int] = (64, 128, 256)
    pools: tuple[int, ...] = (1,)
    rate: float = 3e-4
    critic_rate: float = 1e-3
    gamma: float = 0.05
    later_gamma: float = 0.02
    low: float = 20.0
    free_low: float = 3.0
    whole: float = 6.0
    noise: float = 0.03
    averaged: int = 20_000
    seed: int = 0
    precision: torch.dtype = field(default=torch.bfloat16)


class FinishTraining:
    """State of a training; ``step`` shows a batch.

    Parameters
    ----------
    inputs : FinishInputs
    settings : FinishSettings
    """

    def __init__(self, inputs: FinishInputs, settings: FinishSettings) -> None:
        self.inputs, self.settings = inputs, settings
        device = self.device = inputs.device
        self.shares = Shares().scaled(settings.batch)
        self.place_whole = place_maps(inputs.model.mean, inputs.mirror)
        self.rows, self.columns = _window(inputs)
        size = inputs.size
        self.jitter = min(_JITTER, self.rows.start, self.columns.start, size - self.rows.stop, size - self.columns.stop)
        halves = [slice(s.start // 2, s.stop // 2) for s in (self.rows, self.columns)]
        self.place = self.place_whole[..., halves[0], halves[1]].contiguous()
        shape = (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)
        torch.manual_seed(settings.seed)
        self.network = Finish(settings.widths)
        self.critics = nn.ModuleList([PatchCritic(pool, settings.critic) for pool in settings.pools])
        self.whole = WholeCritic(shape, size // 32)
        for net in (self.network, self.critics, self.whole):
            _initialise(net)
        with torch.no_grad():
            self.network.out.weight.mul_(0.05)
            for name, parameter in self.network.named_parameters():
                if name.endswith("second.weight"):
                    parameter.mul_(0.3)
        for net in (self.network, self.critics, self.whole):
            net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.judges = [*self.critics.parameters(), *self.whole.parameters()]
        fused = device.type == "cuda"
        self.optimiser = torch.optim.Adam(self.network.parameters(), settings.rate, _BETAS, fused=fused)
        self.critic_optimiser = torch.optim.Adam(self.judges, settings.critic_rate, _BETAS, fused=fused)
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.shown, self.steps = 0, 0
        self._ahead = min(_AHEAD, settings.images // (10 * settings.batch))
        self.figures: dict[str, Tensor] = {}
        low = torch.full((self.shares.total, 1, 1, 1), settings.low)
        low[: self.shares.draws] = settings.free_low
        self.low = low.to(device)

    def step(self) -> None:
        """Show a batch to the discriminators, then to the network."""
        s, shares = self.settings, self.shares
        if self.steps % _FRESH == 0:
            self.inputs.add_hole()
        self._set_rates()
        with torch.no_grad():
            batch, real, place = self._shifted(self.inputs.batch(shares), self.inputs.real(shares.total))
        fake = self._drawn(batch, place)
        b = len(real)
        sigma = s.noise * max(1 - 3 * self.shown / s.images, 0.0)
        both = torch.cat([real, fake.detach()])
        both = both + sigma * torch.randn_like(both)
        weight = self._weight(batch.hole)
        logits = self._judged(both, place)
        loss = sum((w * F.softplus(z[b:] - z[:b])).mean() for z, w in zip(logits, weight, strict=True))
        self.critic_optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        if self.steps % _LAZY == 0:
            self._penalise(both, place)
        self.critic_optimiser.step()
        self._note(critic=loss, real=logits[0][:b].mean(), fake=logits[0][b:].mean())  # type: ignore[arg-type]
        self.steps += 1
        self.shown += b
        if self.steps <= self._ahead:
            return
        for parameter in self.judges:
            parameter.requires_grad_(False)
        seen = self._judged(fake + sigma * torch.randn_like(fake), place)
        adversary = sum(
            (w * F.softplus(z[:b].detach() - f)).mean() for z, f, w in zip(logits, seen, weight, strict=True)
        )
        low = (self.low * F.avg_pool2d(fake - batch.x, 8).abs()).mean()
        last = slice(b - shares.projections, b)
        whole = (fake[last] - batch.known[last]).abs().mean()
        total = adversary + low + s.whole * whole * shares.projections / b
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimiser.step()
        for parameter in self.judges:
            parameter.requires_grad_(True)
        average_weights(self.average, self.network, b, self.shown, s.averaged)
        self._note(adversary=adversary, low=low, whole=whole * 127.5, norm=norm)  # type: ignore[arg-type]

    def _set_rates(self) -> None:
        s = self.settings
        late = min(max(3 * self.shown / s.images - 2, 0.0), 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * late))
        warm = min(1.0, max(self.steps - self._ahead, 1) / max(2 * self._ahead, 1))
        for group in self.optimiser.param_groups:
            group["lr"] = s.rate * fall * warm
        for group in self.critic_optimiser.param_groups:
            group["lr"] = s.critic_rate * fall

    def _shifted(self, batch: Batch, real: Tensor) -> tuple[Batch, Tensor, Tensor]:
        """The window of the head, moved a little for all of a batch alike; the place stays."""
        j = self.jitter
        dy, dx = (int(torch.randint(-j, j + 1, (), generator=self.inputs.holes)) for _ in range(2))
        rows = slice(self.rows.start + dy, self.rows.stop + dy)
        columns = slice(self.columns.start + dx, self.columns.stop + dx)
        return batch.window(rows, columns), real[..., rows, columns], self.place

    def _drawn(self, batch: Batch, place: Tensor) -> Tensor:
        """Finished images, with what is measured put back."""
        noise = self.network.noise(len(batch.x), _shape(batch.x), self.random)
        with self._mixed():
            y = self.network(batch.x, batch.hole, place, noise)
        shares = self.shares
        free, inside, finer, projected = torch.split(y, [shares.draws, shares.holes, shares.coarse, shares.projections])
        at = slice(shares.draws, shares.draws + shares.holes)
        inside = batch.hole[at] * inside + (1 - batch.hole[at]) * batch.known[at]
        end = shares.draws + shares.holes
        finer = back_projected(finer, batch.known[end : end + shares.coarse], batch.factor)
        return torch.cat([free, inside, finer, projected])

    def _mixed(self) -> torch.autocast:
        """Networks run in the precision of the settings."""
        precision = self.settings.precision
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)

    def _judged(self, images: Tensor, place: Tensor) -> list[Tensor]:
        """Logits of each discriminator."""
        with self._mixed():
            return [judge(images, place) for judge in (*self.critics, self.whole)]

    def _weight(self, hole: Tensor) -> list[Tensor]:
        """How much each logit counts: patches that hold something drawn, alike; whole images alike."""
        found = []
        for pool in self.settings.pools:
            drawn = F.max_pool2d(F.avg_pool2d(hole, 8 * pool), 3, 1, 1)
            part = (drawn > 0).to(hole)
            found.append(part / part.mean())
        return [*found, torch.ones(len(hole), device=hole.device)]

    def _penalise(self, both: Tensor, place: Tensor) -> None:
        b, n = len(both) // 2, min(_PENALISED, len(both) // 2)
        pick = torch.randperm(b, device=both.device)[:n]
        images = torch.cat([both[:b][pick], both[b:][pick]]).requires_grad_(True)
        gamma = self.settings.gamma if self.shown < 0.25 * self.settings.images else self.settings.later_gamma
        total = torch.zeros((), device=both.device)
        for logits in self._judged(images, place):
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            squared = gradient.square().sum(dim=(1, 2, 3)) / logits[0].numel()
            total = total + 2 * squared.mean() * (1.0 if logits.ndim == 4 else 5.0)
        (_LAZY * gamma / 2 * total).backward()  # type: ignore[no-untyped-call]
        self._note(penalty=total)

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            value = value.detach().float()
            before = self.figures.get(name)
            self.figures[name] = value if before is None else before.lerp(value, 0.02)

    def state(self) -> dict[str, Any]:
        """All that goes on with the training."""
        return {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "critics": self.critics.state_dict(), "whole": self.whole.state_dict(),
            "optimiser": self.optimiser.state_dict(), "critic_optimiser": self.critic_optimiser.state_dict(),
            "shown": self.shown, "steps": self.steps,
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; one without optimisers starts them anew."""
        for name in ("network", "average", "critics", "whole"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("optimiser", "critic_optimiser"):
            if name in state:
                getattr(self, name).load_state_dict(state[name])
        self.shown, self.steps = state["shown"], state["steps"]

    @torch.no_grad()
    def finished(self, x: Tensor, hole: Tensor, seed: int = 0) -> Tensor:
        """Images (B, 1, R, R) by the averaged network."""
        generator = torch.Generator(self.device).manual_seed(seed)
        found = []
        for part, where in zip(torch.split(x, 64), torch.split(hole, 64), strict=True):
            noise = self.average.noise(len(part), _shape(part), generator)
            with self._mixed():
                found.append(self.average(part, where, self.place_whole, noise))
        return torch.cat(found)


def _shape(x: Tensor) -> tuple[int, int]:
    return int(x.shape[-2]), int(x.shape[-1])


def _window(inputs: FinishInputs) -> tuple[slice, slice]:
    """Rows and columns of the frame where there is anatomy, sides multiples of a sixteenth of the frame's."""
    unit = max(inputs.size // 16, 8)
    drawn = (inputs.model.mean[0] + 1) * 127.5 > DARK
    found = []
    for axis in (1, 0):
        at = drawn.any(dim=axis).nonzero()[:, 0]
        low, high = int(at.min()) - _MARGIN, int(at.max()) + 1 + _MARGIN
        side = min(-(-(high - low) // unit) * unit, inputs.size)
        start = min(max((low + high - side) // 2, 0), inputs.size - side) // 2 * 2
        found.append(slice(start, start + side))
    return found[0], found[1]


def _initialise(net: nn.Module) -> None:
    """Kaiming's, for leaky ReLUs of slope 0.2."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            assert module.bias is not None
            nn.init.zeros_(module.bias)

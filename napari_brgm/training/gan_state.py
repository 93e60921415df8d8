"""Everything that changes during adversarial training, and its checkpoint.

Exact: networks and second moments in float32, random state, counters, sums: resuming repeats the uninterrupted run.
Compact: networks in float16, second moments as one byte an entry on a logarithmic scale (they are forgotten within a
hundred steps anyway): 40 % of the size; at 128 px with the default widths 53 MB instead of 132.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.training.adversarial import MomentlessAdam, PathLength
from napari_brgm.training.augment import AdaptiveStrength
from napari_brgm.training.discriminator import Discriminator

if TYPE_CHECKING:
    from torch import nn

    from napari_brgm.training.gan_settings import GanSettings

__all__ = ["GanState", "Meter"]

_LIMIT = 60_000.0  # inside the range of float16
_TINY = 1e-38


class Meter:
    """Means of figures over the steps since they were last read, summed on the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Count a value ()."""
        if name not in self.sums:
            self.sums[name] = torch.zeros((), device=self.device)
            self.counts[name] = 0
        self.sums[name] += value.detach()
        self.counts[name] += 1

    def read(self) -> dict[str, float]:
        """Means, which are then forgotten; waits for the device."""
        if not self.sums:
            return {}
        sums = torch.stack(list(self.sums.values())).tolist()
        means = {name: total / self.counts[name] for name, total in zip(self.sums, sums, strict=True)}
        self.sums, self.counts = {}, {}
        return means


class GanState:
    """Networks, optimisers, augmentation strength, path lengths, random state and counters.

    Parameters
    ----------
    settings : GanSettings
    resolution, channels : int
        Of the images.
    device : torch.device
    """

    def __init__(self, settings: GanSettings, resolution: int, channels: int, device: torch.device) -> None:
        widths = settings.widths(resolution)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            generator = StyleGAN2(widths, settings.latent, settings.latent, channels, settings.mapping_layers)
            discriminator = Discriminator(widths, channels, settings.group)
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.generator = generator.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.adam_g = MomentlessAdam(self.generator, settings.learning_rate, settings.beta2, settings.path_steps)
        self.adam_d = MomentlessAdam(self.discriminator, settings.learning_rate, settings.beta2, settings.r1_every)
        self.path = PathLength(settings.path_decay, device)
        self.strength = AdaptiveStrength(settings.ada_target, settings.ada_images, settings.ada_most, device)
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.meter = Meter(device)
        self.device, self.seed = device, settings.seed
        self.steps = 0
        self.shown = 0  # real images of the main steps
        self.architecture = {
            "resolution": resolution, "channels": channels, "channel_base": settings.channel_base,
            "channel_max": settings.channel_max, "latent": settings.latent, "mapping_layers": settings.mapping_layers,
        }  # fmt: skip

    def is_finite(self) -> bool:
        """Whether every weight is a number; waits for the device."""
        nets = (self.generator, self.discriminator, self.average)
        return bool(torch.stack([p.detach().isfinite().all() for net in nets for p in net.parameters()]).all())

    def saved(self, compact: bool) -> dict[str, Any]:
        """State for ``save_checkpoint``."""
        nets = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return {
            "architecture": self.architecture,
            "nets": {name: _packed(net, compact) for name, net in nets.items()},
            "powers": {
                name: {k: _logarithmic(v) if compact else v for k, v in zip(adam.names, adam.powers, strict=True)}
                for name, adam in (("generator", self.adam_g), ("discriminator", self.adam_d))
            },
            "adam_steps": {"generator": self.adam_g.count, "discriminator": self.adam_d.count},
            "path_mean": self.path.mean,
            "ada": {"p": self.strength.p, "overfitting": self.strength.overfitting, "signs": self.strength.signs,
                    "count": self.strength.count},
            "random": self.random.get_state(),
            "random_device": self.device.type,
            "meter": {"sums": self.meter.sums, "counts": self.meter.counts},
            "steps": self.steps,
            "shown": self.shown,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that ``saved`` made.

        Raises
        ------
        InputError
            It is of a network of other size.
        WeightsError
            It is not of an adversarial training, or incomplete.
        """
        found = state.get("architecture")
        if isinstance(found, dict) and found != self.architecture:
            differing = [f"{k} {found.get(k)}" for k, v in self.architecture.items() if found.get(k) != v]
            raise InputError(
                f"the checkpoint is of a network with {', '.join(differing)}; choose the same, or another folder"
            )
        try:
            nets = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
            for name, net in nets.items():
                net.load_state_dict({k: v.float() for k, v in state["nets"][name].items()})
            for name, adam in (("generator", self.adam_g), ("discriminator", self.adam_d)):
                for k, power in zip(adam.names, adam.powers, strict=True):
                    kept = state["powers"][name][k]
                    power.copy_(kept if isinstance(kept, Tensor) else _linear(kept))
                adam.count = int(state["adam_steps"][name])
            self.path.mean.copy_(state["path_mean"])
            self.strength.p.copy_(state["ada"]["p"])
            self.strength.overfitting.copy_(state["ada"]["overfitting"])
            self.strength.signs.copy_(state["ada"]["signs"])
            self.strength.count = int(state["ada"]["count"])
            self.meter.sums = {k: v.to(self.device) for k, v in state["meter"]["sums"].items()}
            self.meter.counts = dict(state["meter"]["counts"])
            self.steps, self.shown = int(state["steps"]), int(state["shown"])
            if state["random_device"] == self.device.type:
                self.random.set_state(state["random"].cpu())
            else:  # the two kinds of generators have different states
                self.random.manual_seed(self.seed + self.shown)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise WeightsError("the checkpoint is not one of an adversarial training; choose another folder") from error


def _packed(net: nn.Module, compact: bool) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return {k: v.clamp(-_LIMIT, _LIMIT).half() if compact else v for k, v in net.state_dict().items()}


def _logarithmic(power: Tensor) -> dict[str, Any]:
    """A tensor that is not negative, as bytes on a logarithmic scale between its extremes."""
    exponents = power.clamp(min=_TINY).log2()
    low, high = exponents.aminmax()
    codes = ((exponents - low) * (255 / (high - low).clamp(min=1e-6))).round().to(torch.uint8)
    return {"codes": codes, "low": low, "high": high}


def _linear(kept: dict[str, Any]) -> Tensor:
    """Inverse of ``_logarithmic``."""
    low, high = kept["low"], kept["high"]
    step = (high - low).clamp(min=1e-6) / 255
    powers: Tensor = torch.exp2(low + kept["codes"].float() * step)
    return powers

"""Training of the network for thick slices (priors/through_detail.py), on neighbouring thin ones of training heads.

    min over h:  E sum_d ( c_d - h_T(y)_d )^2 / v_f,     c_d = mean_i P_d(i) (x_i - s_i),    y = mean_i x_i

over factors f, crops, mirrored columns and stacks gone through backwards, brightness, stacks cut short so that ends are
seen; v_f is what cubic interpolation misses. Slices are brought to one scale first (datasets/evened.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.datasets.evened import evened
from napari_brgm.errors import InputError
from napari_brgm.priors.through_detail import ThroughDetail, between, neighbours, polynomials
from napari_brgm.training.descent import descent

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["ThroughDetailSettings", "fit_through_detail"]

_DARK = 4.0  # grey levels of a thick slice, below which nothing is learnt
_BRIGHTNESS = 0.7, 1.1
_CUT, _ENDS = 0.25, 0.25  # share of stacks that are cut short; of those of which the two outermost slices are learnt
_MEASURED = 12  # stacks that say what cubic interpolation misses


@dataclass(frozen=True, slots=True)
class ThroughDetailSettings:
    """How it is trained.

    Attributes
    ----------
    steps : int
    batch : int
        Crops in one step, two of each stack.
    side : int
        Of a crop, pixels; a multiple of ``shuffle``.
    factors : tuple of int
        Thin slices in a thick one; each as often as it stands here.
    channels, blocks, shuffle : int
        Of the network.
    rate : float
        As of ``descent``.
    seed : int
    """

    steps: int = 1500
    batch: int = 16
    side: int = 64
    factors: tuple[int, ...] = (2, 3, 3, 4, 5, 5, 6, 7, 8, 8)
    channels: int = 64
    blocks: int = 4
    shuffle: int = 2
    rate: float = 1.5e-3
    seed: int = 0


def fit_through_detail(
    stacks: Tensor, spacing_mm: float, settings: ThroughDetailSettings | None = None,
    report: Callable[[str], None] = print,
) -> ThroughDetail:  # fmt: skip
    """Train on stacks.

    Parameters
    ----------
    stacks : (S, Z, 1, R, R) Tensor
        Neighbouring slices of training subjects, [-1, 1].
    spacing_mm : float
        Between them.
    settings : ThroughDetailSettings or None
        None: the default.
    report : callable
        Told how far it is, and what is left of the error of cubic interpolation, by factor.

    Raises
    ------
    InputError
        The stacks have fewer slices than the greatest factor, or are smaller than a crop.
    """
    settings = settings or ThroughDetailSettings()
    if not spacing_mm > 0 or stacks.shape[1] < max(settings.factors) or stacks.shape[-1] < settings.side:
        raise InputError(
            f"stacks of at least {max(settings.factors)} slices of {settings.side} pixels are needed, "
            "and their distance in mm above 0"
        )
    x = torch.stack([torch.from_numpy(evened((one[:, 0].numpy() + 1) * 127.5)) for one in stacks])
    crops = _Crops(x, settings)
    torch.manual_seed(settings.seed)
    net = ThroughDetail(settings.channels, settings.blocks, settings.shuffle)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    left: dict[int, list[float]] = {factor: [] for factor in sorted(set(settings.factors))}
    for step, down in descent(net, settings.steps, settings.rate):
        factor, read, ends, wanted, seen = crops.draw()
        missed = net(read, ends, factor * spacing_mm) - wanted
        squares, whole = ((one.square() * seen).sum() for one in (missed, wanted))
        loss = squares / (seen.sum().clamp(min=1) * crops.missed[factor])
        down(loss)
        left[factor].append(float(squares.detach() / whole.clamp(min=1)) ** 0.5)
        if (step + 1) % 100 == 0:
            shown = ", ".join(f"{name}: {np.mean(values[-20:]):.3f}" for name, values in left.items() if values)
            report(f"step {step + 1} of {settings.steps}; of the error of cubic interpolation {shown}")
    return net.eval().requires_grad_(False)


class _Crops:
    """Thick slices and their coefficients, from stacks (S, Z, R, R) in grey levels."""

    def __init__(self, x: Tensor, settings: ThroughDetailSettings) -> None:
        self.x, self.settings = x, settings
        self.random = np.random.default_rng(settings.seed)
        tissue = x.mean(dim=(0, 1)) > _DARK
        self.starts = [self._range(tissue.any(dim=1)), self._range(tissue.any(dim=0))]
        few = x[:: max(len(x) // _MEASURED, 1)]
        self.missed = {factor: self._missed(few, factor) for factor in set(settings.factors)}

    def draw(self) -> tuple[int, Tensor, Tensor, Tensor, Tensor]:
        """A factor; what the network reads (B, 5, h, w) and ends (B, 2); coefficients (B, DEGREES, h, w); 1 where there
        is tissue (B, 1, h, w).
        """
        random = self.random
        factor = int(random.choice(self.settings.factors))
        found = [self._pair(factor) for _ in range(max(self.settings.batch // 2, 1))]
        read, ends, wanted, seen = (torch.cat(one) for one in zip(*found, strict=True))
        return factor, read, ends, wanted, seen

    def _pair(self, factor: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        random, side = self.random, self.settings.side
        one = self.x[int(random.integers(len(self.x)))]
        spare = len(one) % factor
        if len(one) // factor > 4 and random.random() < 0.5:
            spare += factor
        first = int(random.integers(spare + 1))
        count = (len(one) - first) // factor
        if count > 1 and random.random() < _CUT:
            count = int(random.integers(1, count + 1))
        top, left = (int(random.integers(low, high + 1)) for low, high in self.starts)
        x = one[first : first + count * factor, top : top + side, left : left + side]
        x = x * float(random.uniform(*_BRIGHTNESS))
        if random.random() < 0.5:
            x = x.flip(2)
        if random.random() < 0.5:
            x = x.flip(0)
        thick, wanted = _coefficients(x, factor)
        chosen = [0, count - 1] if random.random() < _ENDS else random.choice(count, 2, replace=count < 2)
        read, ends = neighbours(thick)
        return read[chosen], ends[chosen], wanted[chosen], (thick[chosen] > _DARK)[:, None].float()

    def _range(self, tissue: Tensor) -> tuple[int, int]:
        """Where crops may begin, so that they lie where there is tissue: first and last."""
        at = tissue.nonzero().flatten().tolist() or [0, len(tissue) - 1]
        most = len(tissue) - self.settings.side
        first = min(at[0], most)
        return first, min(max(at[-1] + 1 - self.settings.side, first), most)

    @staticmethod
    def _missed(stacks: Tensor, factor: int) -> float:
        """Mean square of the coefficients in tissue, all degrees together."""
        squares = tissue = 0.0
        for one in stacks:
            thick, wanted = _coefficients(one[: len(one) // factor * factor], factor)
            seen = thick > _DARK
            squares += float((wanted.square().sum(dim=1) * seen).sum())
            tissue += float(seen.sum())
        return max(squares / max(tissue, 1.0), 1e-3)


def _coefficients(x: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Thick slices (n, H, W) of thin ones (n factor, H, W), and what cubic interpolation misses of these: coefficients
    (n, DEGREES, H, W).
    """
    thick = x.reshape(-1, factor, *x.shape[1:]).mean(dim=1)
    missed = (x - between(thick, factor)).reshape(len(thick), factor, *x.shape[1:])
    wanted = torch.einsum("df,nfhw->ndhw", polynomials(factor), missed) / factor
    return thick, wanted

"""Training of the network for hidden slices (priors/bridge.py), on neighbouring slices of training heads.

    min over h:  E over gaps of  E sum over hidden pixels of ( x - l - h(read) )^2  /  E sum ( x - l )^2

over holes, crops, mirrored columns, stacks gone through backwards, brightness; half of the stacks are brought to one
scale first (datasets/evened.py), the others are as the set has them. What the line misses in a gap of 30 mm is fifty
times what it misses in one of 2 mm: each counts by what it leaves of its own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.datasets.evened import evened
from napari_brgm.errors import InputError
from napari_brgm.priors.bridge import FARTHEST_MM, Bridge, Gap
from napari_brgm.training.descent import descent
from napari_brgm.training.supervised_holes import random_hole

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["BridgeSettings", "fit_bridge"]

_DARK = 4.0  # grey levels, below which nothing is learnt
_BRIGHTNESS = 0.7, 1.1
_STEPS = (1, 2, 2, 3, 3)  # every so many slices was measured,
_HIDDEN = (1, 1, 1, 2, 3, 3, 5, 7, 9, 9, 9)  # and so many in a row of those are hidden
_WHOLE = 0.05  # share of slices of which nothing was measured


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """How it is trained.

    Attributes
    ----------
    steps : int
    batch : int
        Crops in one step.
    side : int
        Of a crop, pixels; a multiple of 4.
    channels, deep, blocks : int
        Of the network.
    rate : float
        As of ``descent``.
    seed : int
    """

    steps: int = 5000
    batch: int = 16
    side: int = 64
    channels: int = 64
    deep: int = 96
    blocks: int = 2
    rate: float = 1.5e-3
    seed: int = 0


def fit_bridge(
    stacks: Tensor,
    spacing_mm: float,
    settings: BridgeSettings | None = None,
    report: Callable[[str], None] = print,
    start: Bridge | None = None,
) -> Bridge:
    """Train on stacks.

    Parameters
    ----------
    stacks : (S, Z, 1, R, R) Tensor
        Neighbouring slices of training subjects, [-1, 1].
    spacing_mm : float
        Between them.
    settings : BridgeSettings or None
        None: the default.
    report : callable
        Told how far it is, and what is left of the error of the straight line, gaps counting alike.
    start : Bridge or None
        Trained further (a copy of it; sizes of the settings are of no consequence then). None: a new network.

    Raises
    ------
    InputError
        The stacks have fewer than three slices, or are smaller than a crop.
    """
    settings = settings or BridgeSettings()
    if not 0 < spacing_mm <= FARTHEST_MM / 2 or stacks.shape[1] < 3 or stacks.shape[-1] < settings.side:
        raise InputError(
            f"stacks of at least 3 slices of {settings.side} pixels are needed, and their distance in mm, above 0 and "
            f"up to {FARTHEST_MM / 2:g}"
        )
    crops = _Crops(stacks, spacing_mm, settings)
    torch.manual_seed(settings.seed)
    net = copy.deepcopy(start) if start else Bridge(settings.channels, settings.deep, settings.blocks)
    net.train().requires_grad_(True)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    left: list[float] = []
    for step, down in descent(net, settings.steps, settings.rate):
        images, known, wanted, weight = crops.draw()
        missed, whole = (
            (one.square() * weight).sum() for one in (net(images, known) - wanted, wanted)
        )  # as much of each crop, however much of it is hidden
        loss = missed / whole.clamp(min=1e-6)
        down(loss)
        left.append(float(loss.detach()) ** 0.5)
        if (step + 1) % 100 == 0:
            report(f"step {step + 1} of {settings.steps}; of the error of the line {np.mean(left[-100:]):.3f}")
    return net.eval().requires_grad_(False)


class _Crops:
    """Gaps in stacks (S, Z, 1, R, R), [-1, 1]."""

    def __init__(self, stacks: Tensor, spacing_mm: float, settings: BridgeSettings) -> None:
        plain = [(one[:, 0].numpy() + 1) * 127.5 for one in stacks]
        self.stacks = [[torch.from_numpy(x) for x in plain], [torch.from_numpy(evened(x)) for x in plain]]
        self.spacing_mm, self.settings = spacing_mm, settings
        self.random = np.random.default_rng(settings.seed)
        self.tissue = stacks.mean(dim=(0, 1, 2)) > _DARK / 127.5 - 1
        most = min(int(FARTHEST_MM / spacing_mm), stacks.shape[1] - 1)
        self.gaps = [(step, n) for step in _STEPS for n in _HIDDEN if (n + 1) * step <= most] or [(1, 1)]
        self.missed = {gap: self._missed(*gap) for gap in set(self.gaps)}

    def _missed(self, step: int, hidden: int) -> float:
        """Mean square of what the line misses in tissue in gaps of so many hidden slices, grey levels squared."""
        far, found = (hidden + 1) * step, []
        for x in self.stacks[0]:
            first = (len(x) - far) // 2
            near, last = x[first], x[first + far]
            for at in range(step, far, step):
                line = near + (last - near) * at / far
                found.append(float((x[first + at] - line)[self.tissue].square().mean()))
        return max(float(np.mean(found)), 1e-3)

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 6, h, w) and conditions (B, 3) that are read, what is wanted (B, h, w), and its weight."""
        found = [self._one() for _ in range(self.settings.batch)]
        images, known, wanted, weight = (torch.stack(each) for each in zip(*found, strict=True))
        return images, known, wanted, weight

    def _one(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        random = self.random
        hole = torch.from_numpy(self._hole())
        x = self.stacks[int(random.integers(2))][int(random.integers(len(self.stacks[0])))]
        step, hidden = self.gaps[int(random.integers(len(self.gaps)))]
        first = int(random.integers(len(x) - (hidden + 1) * step))
        last, at = first + (hidden + 1) * step, first + step * int(random.integers(1, hidden + 1))
        before = torch.stack([x[first], x[max(first - step, 0)]])
        after = torch.stack([x[last], x[min(last + step, len(x) - 1)]])
        gap = Gap(before, x[at], after, hole, (at - first) * self.spacing_mm, (last - at) * self.spacing_mm)
        gap = gap if random.random() < 0.5 else gap.turned()
        images, known = gap.read()
        wanted = x[at] - gap.line()[0]
        rows, columns = self._crop(hole)
        parts = [one[..., rows, columns] for one in (images, wanted, hole)]
        images, wanted, hole = (one.flip(-1) for one in parts) if random.random() < 0.5 else parts
        bright = float(random.uniform(*_BRIGHTNESS))
        images = torch.cat([images[:-1] * bright, images[-1:]])
        return images, known, wanted * bright, hole / hole.sum().clamp(min=1) / self.missed[step, hidden]

    def _hole(self) -> np.ndarray:
        """(R, R) bool, with tissue in it."""
        size = self.tissue.shape[-1]
        while True:
            whole = self.random.random() < _WHOLE
            hole = np.ones((size, size), bool) if whole else random_hole(size, self.random)
            if hole[self.tissue.numpy()].any():
                return hole

    def _crop(self, hole: Tensor) -> tuple[slice, slice]:
        """Rows and columns of a crop that holds a hidden pixel of tissue; beginning where images of any size do."""
        places = (hole & self.tissue).nonzero()
        at, side = places[int(self.random.integers(len(places)))].tolist(), self.settings.side
        starts = [min(max(n - int(self.random.integers(side)), 0), len(hole) - side) // 4 * 4 for n in at]
        rows, columns = (slice(start, start + side) for start in starts)
        return rows, columns

"""Finish: a network that turns a draw of a linear model into one with the texture of a scan.

    y = x + tanh R(x, hole, place, n),   n ~ N(0, I) on four grids

x is a draw of the linear part (prior or posterior), which has the large shapes of anatomy and no fine ones; R adds
those, differently for each noise n. It comes after inference, on draws: what is measured, and the mean, do not go
through it. A push-forward of the linear posterior, not a posterior of its own.

In a file weights are whole numbers of 8 bits, each output channel of a convolution with a step of its own; that moves
images by 0.1 grey levels.

A U-Net on 1, 1/2, 1/4 and 1/8 of the frame's grid; most of its weights are where there are few pixels. Enlarging is
bilinear and the last two convolutions are on the full grid: nearest neighbours and shuffled pixels leave a cross-hatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.priors.native_precision import native_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CONTRAST", "PLACE", "Finish", "high_pass", "packed", "place_maps"]

Widths = tuple[int, int, int, int]
WIDTHS: Widths = (16, 40, 96, 192)  # channels on 1, 1/2, 1/4, 1/8 of the grid
CONTRAST = 3.0  # contrast that the network sees
_DEEP = 3  # blocks on the coarsest grid
PLACE = 3  # channels of ``place_maps``
_ASIDE = 16  # pixels round a hole that are finished with it: what is measured there is kriged from
_AT_ONCE = 1 << 16  # pixels of images: more are no faster
_STEPS = 127  # of a weight in a file, to either side
_STEP = ".step"  # ends the name of their size


def high_pass(x: Tensor) -> Tensor:
    """Images (B, C, H, W) less their averages over 5 x 5 pixels."""
    return x - F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)


def place_maps(mean: Tensor, mirror: bool) -> Tensor:
    """Where a pixel lies, (1, 3, R / 2, R / 2): mean image, row, column from -1 to 1.

    Parameters
    ----------
    mean : (1, R, R) Tensor
        Of the prior, in [-1, 1].
    mirror : bool
        The anatomy is symmetric: the column's distance from the middle stands for the column.
    """
    half = F.avg_pool2d(mean[None], 2)
    at = torch.linspace(-1, 1, half.shape[-1], device=mean.device)
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    return torch.cat([half, rows[None, None], (columns.abs() if mirror else columns)[None, None]], dim=1)


class _Block(nn.Module):
    """x + conv(leaky_relu(conv(x) + noise))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.strength = nn.Parameter(torch.full((1, width, 1, 1), 0.1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        found: Tensor = x + self.second(_act(self.first(x) + noise * self.strength))
        return found


class Finish(nn.Module):
    """See the module.

    Parameters
    ----------
    widths : tuple of int
        Channels on 1, 1/2, 1/4 and 1/8 of the grid.

    Attributes
    ----------
    place : (1, 3, R / 2, R / 2) Tensor or None
        Of the prior's frame; None: it is given with the images.
    """

    place: Tensor | None

    def __init__(self, widths: Widths = WIDTHS) -> None:
        super().__init__()
        full, half, quarter, eighth = self.widths = widths
        self.enter = nn.Conv2d(8 + 1 + PLACE + 1, half, 3, padding=1)
        self.on_half = _Block(half)
        self.to_quarter = nn.Conv2d(half, quarter, 4, 2, 1)
        self.on_quarter = _Block(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 4, 2, 1)
        self.on_eighth = nn.ModuleList(_Block(eighth) for _ in range(_DEEP))
        self.join_quarter = nn.Conv2d(quarter + eighth, quarter, 1)
        self.back_quarter = _Block(quarter)
        self.join_half = nn.Conv2d(half + quarter, half, 1)
        self.back_half = _Block(half)
        self.narrow = nn.Conv2d(half, full, 1)
        self.join_full = nn.Conv2d(full + 2, full, 3, padding=1)
        self.on_full = _Block(full)
        self.out = nn.Conv2d(full, 1, 3, padding=1)
        self.register_buffer("place", None)

    @classmethod
    def from_state_dict(cls, weights: Mapping[str, Tensor]) -> Finish:
        """Build the network that fits ``weights``, packed or not, with the place that it was trained for.

        Raises
        ------
        WeightsError
            Names or shapes do not fit, or an entry is no finite number.
        """
        try:
            state = {
                name: one.float() * weights[name + _STEP].float() if name + _STEP in weights else one.float()
                for name, one in weights.items()
                if not name.endswith(_STEP)
            }
            widths = tuple(len(state[f"{name}.bias"]) for name in ("narrow", "enter", "to_quarter", "to_eighth"))
            net = cls((widths[0], widths[1], widths[2], widths[3]))
            place = state.pop("place")
            net.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise WeightsError("the network for the texture of draws in these weights is incomplete") from error
        if place.ndim != 4 or place.shape[:2] != (1, PLACE) or place.shape[2] != place.shape[3] or place.shape[2] % 4:
            raise WeightsError("the network for the texture of draws in these weights has no place in the frame")
        if not all(bool(one.isfinite().all()) for one in (*state.values(), place)):
            raise WeightsError("the network for the texture of draws in these weights holds what is no number")
        net.place = place
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net.eval().requires_grad_(False)

    def noise(self, n: int, shape: tuple[int, int], generator: torch.Generator | None = None) -> list[Tensor]:
        """Noise for images (n, 1, H, W): (n, maps, H / 2^k, W / 2^k) for each grid, on the generator's device."""
        device = None if generator is None else generator.device
        maps = (1, 3, 2, _DEEP)
        sizes = [(n, count, shape[0] >> k, shape[1] >> k) for k, count in enumerate(maps)]
        return [torch.randn(size, generator=generator, device=device) for size in sizes]

    @torch.no_grad()
    def finished(
        self, x: Tensor, where: Tensor, generator: torch.Generator, check: Callable[[], None] | None = None
    ) -> Tensor:  # fmt: skip
        """Images x (B, 1, R, R) of the frame, finished as if all of them was drawn, each with noise of its own.

        On a processor with instructions for bfloat16 its convolutions are computed in it: twice as fast, and 0.1 to 0.3
        grey levels (rms) from those of float32.

        Parameters
        ----------
        where : (R, R) bool Tensor
            What is to be finished: this and what is near it, ``_ASIDE`` pixels at least; the rest stays as it is.
        generator : torch.Generator
            CPU.
        check : callable, optional
            Called for every few images; what it raises ends the work.
        """
        assert self.place is not None
        rows, columns = (_reach(where.any(dim=axis)) for axis in (1, 0))
        if rows.stop == rows.start:
            return x
        size = rows.stop - rows.start, columns.stop - columns.start
        place = self.place[..., rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2]
        found = x.clone()
        quick = x.device.type == "cpu" and native_precision(x.device) == torch.bfloat16
        most = max(_AT_ONCE // (size[0] * size[1]), 1)
        for first in range(0, len(x), most):
            if check is not None:
                check()
            some = slice(first, first + most)
            part = x[some, :, rows, columns].contiguous(memory_format=torch.channels_last)
            each = [self.noise(1, size, generator) for _ in part]  # the same however many go together
            noise = [torch.cat(maps).to(x.device) for maps in zip(*each, strict=True)]
            with torch.autocast("cpu", torch.bfloat16, enabled=quick):
                found[some, :, rows, columns] = self(part, torch.ones_like(part), place, noise).float()
        return found

    def forward(self, x: Tensor, hole: Tensor, place: Tensor, noise: list[Tensor]) -> Tensor:
        """Finished images (B, 1, H, W).

        Parameters
        ----------
        x : (B, 1, H, W) Tensor
            In [-1, 1]; H and W are multiples of 8.
        hole : (B, 1, H, W) Tensor
            1 where x was drawn, 0 where it was measured.
        place : (1, 3, H / 2, W / 2) Tensor
            As of ``place_maps``.
        noise : list of Tensor
            As of ``noise``.
        """
        fine, coarse, low, deep = noise
        mean = F.interpolate(place[:, :1], scale_factor=2, mode="bilinear")
        views = torch.cat([CONTRAST * (x - mean), CONTRAST * high_pass(x)], dim=1)  # (B, 2, H, W)
        seen = [F.pixel_unshuffle(views, 2), F.avg_pool2d(hole, 2), place.expand(len(x), -1, -1, -1), coarse[:, :1]]
        a = self.on_half(_act(self.enter(torch.cat(seen, dim=1))), coarse[:, 1:2])
        b = self.on_quarter(_act(self.to_quarter(a)), low[:, :1])
        c = _act(self.to_eighth(b))
        for k, block in enumerate(self.on_eighth):
            c = block(c, deep[:, k : k + 1])
        b = self.back_quarter(_act(self.join_quarter(torch.cat([b, _enlarged(c)], dim=1))), low[:, 1:])
        a = self.back_half(_act(self.join_half(torch.cat([a, _enlarged(b)], dim=1))), coarse[:, 2:])
        z = torch.cat([_enlarged(self.narrow(a)), views.to(a.dtype)], dim=1)
        z = self.on_full(_act(self.join_full(z)), fine)
        return x + torch.tanh(self.out(_act(z)).float())


def packed(finish: Finish) -> dict[str, Tensor]:
    """What a file holds of it: convolutions in int8 with their steps, all else in float16."""
    found: dict[str, Tensor] = {}
    for name, one in finish.state_dict().items():
        if one.ndim == 4 and name.endswith("weight"):
            step = (one.abs().amax(dim=(1, 2, 3), keepdim=True) / _STEPS).clamp(min=1e-7).half()
            found[name] = (one / step.float()).round().clamp(-_STEPS, _STEPS).to(torch.int8)
            found[name + _STEP] = step
        else:
            found[name] = one.half()
    return found


def _reach(drawn: Tensor) -> slice:
    """Of rows or columns (R,): those near some that are drawn, from and to multiples of 8; empty: none is."""
    at = drawn.nonzero()[:, 0]
    if not len(at):
        return slice(0, 0)
    low, high = max(int(at.min()) - _ASIDE, 0), min(int(at.max()) + 1 + _ASIDE, len(drawn))
    return slice(low // 8 * 8, min(-(-high // 8) * 8, len(drawn)))


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")

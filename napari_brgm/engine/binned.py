"""Binned: observed pixels much finer than the generator's frame, as what they are for it.

    y_b = sum_{i in b} y_i / n_b,   n_b the measured pixels of a block,   y_b ~ N(mean of A G(w) over b, sigma^2 / n_b)

A generator says nothing of what lies within half a pixel of its frame, so that means over blocks of that size and the
number of pixels behind them are all that inference needs: a radiograph of 4,096 pixels costs it as much as one of 512.
Means of the generator's own part are exact, but where the frame is turned: there the block's box is sampled, as a whole
where it is partly hidden. What is finer is not the generator's to say; it is kept where it was measured.

A corruption that acts on rows and columns apart is multiplied with the frame, whatever the sizes: super-resolution then
never visits its fine grid before there is a result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.corruptions.axes import Axes, PartialBlocks, block_means
from napari_brgm.engine.placed import grey_tensor, noise_levels

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.corruptions import Frame
    from napari_brgm.engine.placed import NoiseLevels, PlacedSlice
    from napari_brgm.priors.prior import Prior

__all__ = ["Binned", "binned"]

_SIDE = 0.5  # frame pixels: blocks are about so large, and at most two thirds of a frame pixel
_LARGE = 1.5  # frames: a fine grid from this size on is not visited
_STRIPE = 1 << 21  # observed pixels that are read at once


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """An observation in blocks.

    Attributes
    ----------
    frame : Frame or Axes
        From the generator's frame to the blocks.
    y : (1, C, h, w) Tensor
        Mean grey levels of measured pixels; 0 where there are none.
    share : (1, 1, h, w) Tensor
        Of a block's pixels that were measured.
    pixel : (float, float)
        Size of a block in frame pixels, rows and columns.
    noise : NoiseLevels
        Of a block that was measured throughout.
    """

    frame: Frame | Axes
    y: Tensor
    share: Tensor
    pixel: tuple[float, float]
    noise: NoiseLevels


def binned(slice_: PlacedSlice, prior: Prior) -> Binned | None:
    """Bring what was observed of a slice to blocks; None where its own pixels are as good, or cannot be brought."""
    given, frame = slice_.given, slice_.frame
    rows, columns = (
        max(min(round(_SIDE / side), n), 1) for side, n in zip(slice_.pixel, given.seen.shape, strict=True)
    )
    large = given.grid.fine != given.grid.plane and math.prod(given.grid.fine) > _LARGE * prior.resolution**2
    apart = given.corruption.on_axes(given.grid.fine)
    if apart is None or ((rows, columns) == (1, 1) and not large):
        return None
    device = prior.latents.mean.device
    if not frame.rotation:
        fine = [matrix.double().numpy() for matrix in frame.matrices]
        seen = [m if kernel is None else kernel @ m for m, kernel in zip(fine, apart, strict=True)]
        hidden = not given.seen.all()  # a mask, which takes pixels as they are
        partial = PartialBlocks.of(frame, given.seen, rows, columns).to(device) if hidden else None
        to_blocks: Frame | Axes = Axes(
            block_means(seen[0], rows).to(device), block_means(seen[1], columns).to(device), partial
        )
    elif given.corruption.averages or apart == (None, None):
        factor = given.grid.factor[0] * rows, given.grid.factor[1] * columns
        to_blocks = frame.in_blocks((-(-given.seen.shape[0] // rows), -(-given.seen.shape[1] // columns)), factor)
    else:
        return None
    y, share = _means(slice_, rows, columns)
    pixel = slice_.pixel[0] * rows, slice_.pixel[1] * columns
    noise = noise_levels(pixel, slice_.noise.measured / math.sqrt(rows * columns), prior)
    return Binned(to_blocks, y.to(device), share.to(device), pixel, noise)


def _means(slice_: PlacedSlice, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Mean grey levels (1, C, h, w) of blocks, and the share (1, 1, h, w) of their pixels that was measured."""
    image, seen = slice_.given.image, slice_.given.seen
    height, width = seen.shape
    stripe = max(_STRIPE // (rows * width), 1) * rows
    means, shares = [], []
    for first in range(0, height, stripe):
        part = slice(first, first + stripe)
        pad = (0, -width % columns, 0, -len(seen[part]) % rows)
        known = F.pad(torch.from_numpy(seen[part]).float()[None, None], pad)
        grey = F.pad(grey_tensor(image[part], seen[part], slice_.window), pad)
        share = F.avg_pool2d(known, (rows, columns))
        mean = F.avg_pool2d(grey * known, (rows, columns)) / share.clamp(min=1e-6)
        means.append(mean * (share > 0))
        shares.append(share)
    return torch.cat(means, dim=2), torch.cat(shares, dim=2)

"""Beside second: a placed slice with what a second scan saw of its holes, each pixel with the noise of its scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.placed import PlacedSlice

__all__ = ["NOTE", "BesideSecond", "beside_second", "record_of"]


NOTE = "holes were restored with what a second scan saw there, as if nothing had changed between the two"


@dataclass(frozen=True, slots=True, eq=False)
class BesideSecond:
    """Two scans as one observation.

    Attributes
    ----------
    slice : PlacedSlice
        Where the first was not measured, its image holds the second one's values.
    variance : (H, W) float32 ndarray
        Of the measurement noise, grey levels squared.
    """

    slice: PlacedSlice
    variance: npt.NDArray[np.float32]

    def sigma(self, pixel: tuple[float, float]) -> Tensor:
        """(1, 1, h, w) of blocks of so many frame pixels, as if all pixels of one had been measured."""
        rows, columns = (round(block / own) for block, own in zip(pixel, self.slice.pixel, strict=True))
        seen = self.slice.given.seen
        pad = (0, -seen.shape[1] % columns, 0, -seen.shape[0] % rows)
        known = F.pad(torch.from_numpy(seen).float()[None, None], pad)
        power = F.pad(torch.from_numpy(self.variance)[None, None], pad)
        share, total = (F.avg_pool2d(one, (rows, columns)) for one in (known, power * known))
        own = self.slice.noise.measured**2
        return (torch.where(share > 0, total / share.clamp(min=1e-6), own) / (rows * columns)).sqrt()


def beside_second(slice_: PlacedSlice) -> BesideSecond | None:
    """Join what the two scans saw; None where there is one only, or the second saw nothing more."""
    given, second = slice_.given, slice_.given.second
    if second is None:
        return None
    more = np.isfinite(second.image) & ~given.seen
    if not more.any():
        return None
    image = np.where(more, second.image, given.image).astype(np.result_type(given.image.dtype, np.float32))
    own, others = slice_.noise.measured, second.sigma * slice_.window.gain
    variance = np.where(more, max(others, own) ** 2, own**2).astype(np.float32)
    joined = replace(given, image=image, seen=given.seen | more, second=None)
    return BesideSecond(replace(slice_, given=joined), variance)


def record_of(slice_: PlacedSlice) -> dict[str, float]:
    """How the second scan was matched, in the units of the first, and its share of the hidden pixels; JSON-ready."""
    second, seen = slice_.given.second, slice_.given.seen
    assert second is not None
    share = float(np.isfinite(second.image)[~seen].mean())
    return {"gain": second.gain, "offset": second.offset, "noise": second.sigma, "share_of_hole": round(share, 4)}

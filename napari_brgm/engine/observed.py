"""Observed: the inverse problem of a placed slice in grey levels, and the way back to its pixels and units.

Last of checked -> placed -> observed; ``observe`` is all three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from napari_brgm.corruptions import Identity
from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.engine.beside_second import NOTE, beside_second
from napari_brgm.engine.binned import binned
from napari_brgm.engine.checked import checked
from napari_brgm.engine.placed import grey_tensor, placed
from napari_brgm.engine.provenance import ESTIMATED
from napari_brgm.engine.redundancy import redundancy
from napari_brgm.inference.cutout import cutouts
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.lossless import with_restored
from napari_brgm.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.corruptions import Corruption, Frame, LinearOperator
    from napari_brgm.corruptions.axes import Axes
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.placed import NoiseLevels, PlacedSlice
    from napari_brgm.engine.second_scan import SecondScan
    from napari_brgm.engine.window import Window
    from napari_brgm.inference.cutout import Cutout
    from napari_brgm.priors.prior import Prior
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["Problem", "beyond_view", "in_blocks", "margin_of", "observe", "observed"]

_ROUNDS = 4  # of back-projection, alternating with the lower bound of the window
_MARGIN = 12.0  # frame pixels round a hole that tell of the residual field in it,
_FINE_MARGIN = 22.0  # and where what is finer than the frame is told from them, too (detail_model.py, finishing.py)
_RING, _TOLD = 6.0, 1200  # frame pixels round a hole; where fewer are observed, farther ones are read, too
_SMALL = 1.0  # grey levels; noise up to which the data are met exactly
_RATIOS = tuple(3.0**-k for k in range(-3, 10))  # tried in turn, noise over signal of a fine pixel
_UNSTABLE_RATIO = 1e-2  # noise to signal in the pseudo-inverse of what amplifies noise, such as blurs


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """An inverse problem, and the way back from generator images to the scan's pixels and units.

    Attributes
    ----------
    placed : PlacedSlice
    likelihood : Likelihood
        Of the observed pixels, or of blocks of them where they are much finer than the frame (binned.py).
    noise : NoiseLevels
        Of what the likelihood looks at: an observed pixel, or a block.
    pixel : (float, float)
        Its size in frame pixels, rows and columns.
    unseen : (H, W) bool ndarray
        Hidden pixels outside the generator frame, of which nothing is known.
    tolerance : float
        Root mean square, grey levels, by which f of a result may miss the data; 0 where the noise is small or nobody
        has given it, so that the data are met exactly.
    notes : list of str
        Sentences for the person, for instance about parts that lie outside the generator frame.
    near : tuple of Cutout
        Windows round what was not measured, where pixels are kept as they were; none: the whole frame.
    sigma : (1, 1, h, w) Tensor or None
        Measurement noise of each observed pixel or block, grey levels, where a second scan has its own.
    """

    placed: PlacedSlice
    likelihood: Likelihood
    noise: NoiseLevels
    pixel: tuple[float, float]
    unseen: npt.NDArray[np.bool_]
    tolerance: float
    notes: list[str]
    near: tuple[Cutout, ...] = ()
    sigma: Tensor | None = None

    @property
    def window(self) -> Window:
        """Between the scan's units and grey levels."""
        return self.placed.window

    @property
    def corruption(self) -> LinearOperator:
        """What happened to the image: f on the restored grid."""
        return self.placed.given.corruption

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """(H, W): pixels of the restored grid that are kept as measured."""
        return self.placed.given.kept

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the restored grid."""
        return self.placed.given.grid.fine

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """(H, W): pixels of the restored grid that are estimated."""
        return ~self.measured

    def finish(
        self, images: Tensor, consistent: bool, check: Callable[[], None] | None = None
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """What was not measured, of generator images (B, C, R, R): (B, N[, 3]) in the scan's units, row by row.

        Beside measured pixels no image of the scan's size is made. ``check`` is called now and then; what it raises
        ends the work.
        """
        grey = to_grey(images)
        if self.measured.any():
            x = self.placed.frame.at(grey, self.free).clamp(min=0)
        else:
            whole = self.placed.frame.A(grey).clamp(min=0)
            if consistent and self.likelihood.linear and self.corruption.exact:
                whole = self._consistent(whole, check)
            x = whole.flatten(2)
        values = x.double().cpu().numpy()
        values = values[:, 0] if values.shape[1] == 1 else np.moveaxis(values, 1, -1)
        return np.asarray(self.window.from_grey(values), dtype=np.float64)

    def whole(self, values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[Any]:
        """The slice (H, W[, 3]) of estimated values (N[, 3]), beside its measured pixels bit for bit (lossless.py)."""
        image = self.placed.given.image
        if not self.measured.any():
            return values.reshape(*self.shape, *values.shape[1:]).astype(np.result_type(image.dtype, np.float32))
        return with_restored(image, self.free, values)

    def _consistent(self, x: Tensor, check: Callable[[], None] | None) -> Tensor:
        """X + A^+ (y - A x), a few rounds with the bound at black between them (the last word is the data's).

        Where the data have known noise, by the regularised inverse, as strong as brings f(x) just within that noise
        (Morozov's discrepancy principle; Engl, Hanke and Neubauer 1996, Sec. 4.3): noise is not to be restored.
        """
        f = self.corruption
        size, given = (int(x.shape[-2]), int(x.shape[-1])), self.placed.given
        y = grey_tensor(given.image, given.seen, self.window).to(x)
        seen = torch.from_numpy(given.seen).to(x)[None, None]

        def corrected(x: Tensor, ratio: float) -> Tensor:
            missed = (y - f.A(x)) * seen
            if f.iterative and ratio:
                return x + tikhonov_inverse(f.A, lambda r: f.A_adjoint(r, size), missed, ratio, check=check)
            if check is not None:
                check()
            return x + f.A_dagger(missed, size, noise_to_signal=ratio)

        if self.tolerance:
            found = x
            for ratio in _RATIOS:
                missed = ((y - f.A(found)) * seen).square().mean(dim=(1, 2, 3)) / seen.mean()
                found = torch.where((missed > self.tolerance**2)[:, None, None, None], corrected(x, ratio), found)
            return found
        least = 0.0 if f.well_posed((int(y.shape[-2]), int(y.shape[-1]))) else _UNSTABLE_RATIO
        for last in [False] * (_ROUNDS - 1) + [True]:
            x = corrected(x, least)
            x = x if last else x.clamp(min=0)
        return x


def observe(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, *, spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None, pose: bool = True, alignment: Alignment | None = None, field: bool = True,
    second: SecondScan | None = None, share: float = 1.0, check: Callable[[], None] | None = None,
) -> Problem:  # fmt: skip
    """State the problem of one slice; parameters as in ``napari_brgm.restore``, ``placed`` and ``observed``.

    Raises
    ------
    InputError
        The image, the mask, the spacing or the noise level cannot be used.
    """
    given = checked(image, corruption, prior, spacing, noise_sigma, flat=alignment is not None, second=second)
    return observed(placed(given, prior, pose=pose, alignment=alignment, check=check), prior, field=field, share=share)


def observed(
    slice_: PlacedSlice, prior: Prior, *, field: bool = True, share: float = 1.0, detail: bool = True
) -> Problem:  # fmt: skip
    """State the problem of a placed slice.

    ``field``: weigh pixels by what the prior knows of its residual. ``share``: of the representation's variance, what
    counts of it where slices are found together. ``detail``: detail finer than the frame is wanted.
    """
    given, noise, f = slice_.given, slice_.noise, slice_.given.corruption
    shared = beside_second(slice_)
    told = slice_ if shared is None else shared.slice
    blocks = binned(told, prior)
    own: Tensor | None = None
    device = prior.latents.mean.device
    if blocks is None:
        frame: Frame | Axes = slice_.frame
        measured = torch.from_numpy(told.given.seen).to(device, torch.float32)[None, None]
        y, pixel = grey_tensor(told.given.image, told.given.seen, slice_.window).to(device), slice_.pixel
        f = f if shared is None else Identity()
    else:
        f, frame, y, pixel, noise = Identity(), blocks.frame, blocks.y, blocks.pixel, blocks.noise
        measured, own = (blocks.share > 0).float(), blocks.share
    sigma = None if shared is None else shared.sigma(pixel).to(device)
    residual = prior.parts.residual if field and given.corruption.linear else None
    weight: Tensor | None = None
    if residual is not None and prior.channels == 1:
        area = share * (prior.info.representation_sigma / residual.level) ** 2
        alike = redundancy(measured[0, 0].cpu().numpy() > 0, area, pixel)
        weight = _weight(f, frame, noise, residual, None if alike is None else torch.from_numpy(alike).to(device))
    if sigma is not None:
        stands = share * noise.representation**2 / (1.0 if weight is None else weight)
        less = (noise.measured**2 + stands) / (sigma**2 + stands)
        weight = less if weight is None else weight * less
    if own is not None:
        weight = own if weight is None else weight * own
    notes = list(slice_.notes)
    if not given.corruption.exact:
        notes.append(ESTIMATED)
    unseen = np.zeros(given.grid.fine, dtype=bool)
    if given.kept.any():
        unseen[~given.kept] = ~slice_.frame.covers(~given.kept)
    notes += beyond_view(unseen)
    if shared is not None:
        notes.append(NOTE)
    known = given.noise_sigma is not None and slice_.noise.measured > _SMALL
    tolerance = slice_.noise.measured if known else 0.0
    likelihood = Likelihood(Observation(f, measured, noise.pixel, weight, frame), y)
    near: tuple[Cutout, ...] = ()
    if given.kept.any() and not (given.seen & ~given.kept).any():
        missing = in_blocks(~given.seen, slice_, pixel)
        if not detail or _tells_enough(slice_, missing, pixel):
            near = cutouts(missing, frame, pixel, prior.resolution, margin_of(slice_) if detail else _MARGIN)
    return Problem(slice_, likelihood, noise, pixel, unseen, tolerance, notes, near, sigma)


def in_blocks(
    missing: npt.NDArray[np.bool_], slice_: PlacedSlice, pixel: tuple[float, float]
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Whether anything is missing (h, w) of what the likelihood looks at: pixels, or blocks of ``pixel`` frame ones."""
    for axis, (block, own) in enumerate(zip(pixel, slice_.pixel, strict=True)):
        missing = np.logical_or.reduceat(missing, np.arange(0, missing.shape[axis], round(block / own)), axis=axis)
    return missing


def margin_of(slice_: PlacedSlice) -> float:
    """Frame pixels round a hole that have a say in it."""
    return _FINE_MARGIN if slice_.finer_than_frame else _MARGIN


def _tells_enough(slice_: PlacedSlice, missing: npt.NDArray[np.bool_], pixel: tuple[float, float]) -> bool:
    """Whether pixels so near have all the say; else what is far away may have, too."""
    if not slice_.finer_than_frame:
        return True
    rows, columns = (2 * math.ceil(_RING / side) + 1 for side in pixel)
    ring = np.count_nonzero(ndimage.maximum_filter(missing, (rows, columns), mode="constant") & ~missing)
    return int(ring) >= _TOLD


def beyond_view(unseen: npt.NDArray[np.bool_]) -> list[str]:
    """What is to be said of pixels (H, W) that are to be restored where the prior sees nothing."""
    if not unseen.any():
        return []
    return [
        f"{int(unseen.sum())} masked pixels lie outside the generator's field of view; they are left black, "
        "with the variance of a uniform guess"
    ]


def _weight(
    f: LinearOperator, frame: Frame | Axes, noise: NoiseLevels, field: ResidualField, alike: Tensor | None
) -> Tensor:  # fmt: skip
    """Inverse relative noise variance of each observed pixel (1, 1, h, w): what the prior knows of its residual there,
    and how far measured neighbours err ``alike`` (h, w); None: all do.
    """
    relative = field.relative_variance[None, None]
    seen = f.A(frame.A(relative)).clamp(min=float(relative.min()))
    own, drawn = noise.measured**2, noise.representation**2
    return (own + drawn) / (own + drawn * (seen if alike is None else seen * alike))

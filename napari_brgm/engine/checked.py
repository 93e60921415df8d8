"""Checked: a slice, its corruption and a prior that go together. First of checked -> placed -> observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.corruptions import as_corruption
from napari_brgm.engine.grid import Grid, grid_of
from napari_brgm.engine.measured import check_measured
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.corruptions import Corruption, LinearOperator
    from napari_brgm.engine.second_scan import SecondScan
    from napari_brgm.priors.prior import Prior

__all__ = ["CheckedSlice", "checked"]


@dataclass(frozen=True, slots=True, eq=False)
class CheckedSlice:
    """What can be restored.

    Attributes
    ----------
    image : (h, w) or (h, w, 3) ndarray
        In its own units and type.
    corruption : LinearOperator
    seen : (h, w) bool ndarray
        True where a pixel was measured.
    kept : (H, W) bool ndarray
        Pixels of the restored grid that are measured ones.
    grid : Grid
    noise_sigma : float or None
        Given noise of a pixel, in the image's units.
    second : SecondScan or None
        Of the same slice.
    """

    image: npt.NDArray[Any]
    corruption: LinearOperator
    seen: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    grid: Grid
    noise_sigma: float | None
    second: SecondScan | None = None

    @property
    def plane(self) -> npt.NDArray[np.float64]:
        """(h, w) float64, mean over colours."""
        return np.asarray(self.image if self.image.ndim == 2 else self.image.mean(axis=2), dtype=np.float64)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Measured values (N,) or (N, 3)."""
        return self.image[self.seen].astype(np.float64)


def checked(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None, *, flat: bool = False, second: SecondScan | None = None,
) -> CheckedSlice:  # fmt: skip
    """Look whether a slice can be restored; parameters as in ``napari_brgm.restore``.

    ``flat``: it may be the same value throughout (measured.py).

    Raises
    ------
    InputError
        The image, the mask, the spacing or the noise level cannot be used.
    """
    f = as_corruption(corruption)
    array = np.asarray(image)
    f.observed_channels(prior.channels)  # refuses a mixture of others
    _check_kind(array, prior)
    if array.dtype.kind == "b" or array.dtype == np.float16:
        array = array.astype(np.float32)
    plane = array.shape[0], array.shape[1]
    hidden = f.hidden(plane)
    if hidden is not None and hidden.ndim != 2:
        raise InputError("the mask is that of a stack; restore takes one slice, with a two-dimensional mask of its own")
    seen = np.ones(plane, dtype=bool) if hidden is None else ~hidden.numpy()
    check_measured(array, seen, flat=flat)
    try:
        usable = noise_sigma is None or 0 <= float(noise_sigma) < np.inf
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"noise_sigma must be 0 or above, in the image's units; got {noise_sigma!r}")
    grid = grid_of(plane, f.image_shape(plane), f.coarsens(plane), prior, spacing)
    kept = f.kept(grid.fine)
    if second is not None and (array.ndim != 2 or kept is None or grid.fine != plane or second.image.shape != plane):
        raise InputError("a second scan helps to fill holes in gray slices, on the grid of the first; leave it out")
    return CheckedSlice(
        array, f, seen, np.zeros(grid.fine, dtype=bool) if kept is None else kept.numpy(), grid, noise_sigma, second
    )


def _check_kind(array: npt.NDArray[Any], prior: Prior) -> None:
    """Refuse what is no image, or not one that the prior draws."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"the image must hold real numbers, got {array.dtype}")
    if array.ndim == 3 and array.shape[2] in (3, 4) and prior.channels == 1:
        raise InputError("the image is in colour but the prior is gray; convert the image to one channel first")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == prior.channels == 3):
        raise InputError(f"restore takes one slice (H, W), got an array of shape {array.shape}; choose one slice of it")
    if min(array.shape[:2]) < 4:
        raise InputError(f"the image is {array.shape[0]} x {array.shape[1]} pixels; at least 4 x 4 are needed")

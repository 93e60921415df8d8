"""Job: what a widget asks of the engine, free of Qt, napari and torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.settings import Method, Quality

__all__ = ["Job", "Piece"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One slice and what happened to it; exactly one of the four tasks is given.

    Attributes
    ----------
    image : (H, W) float32 ndarray
        The slice as shown, in its own units.
    spacing : (float, float) or None
        Pixel size (row, column), mm.
    missing : (H, W) bool ndarray or None
        In-painting: true where to.
    factor : (float, float) or None
        Super-resolution: result pixels per pixel along rows and columns.
    slice_width : float or None
        Super-resolution through the plane: thickness of the slices / their distance; None: coarse pixels are means.
    jpeg_quality : int or None
        Cleaning: quality, 1 to 100, of the JPEG that the slice went through.
    noise_sigma : float or None
        Cleaning: standard deviation of plain noise in the image's units; 0: estimated from it.

    Raises
    ------
    InputError
        No task is given, or more than one.
    """

    image: npt.NDArray[np.float32]
    spacing: tuple[float, float] | None = None
    missing: npt.NDArray[np.bool_] | None = None
    factor: tuple[float, float] | None = None
    slice_width: float | None = None
    jpeg_quality: int | None = None
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        tasks = (self.missing, self.factor, self.jpeg_quality, self.noise_sigma)
        if sum(task is not None for task in tasks) != 1:
            raise InputError("a job is one task: a mask, a factor, a JPEG quality or a noise level")

    def corruption(self) -> Corruption:
        """What happened to the image."""
        from napari_brgm.corruptions import Downsample, Identity, Jpeg, Mask

        if self.missing is not None:
            return Mask(self.missing)
        if self.factor is not None:
            if self.slice_width is None:
                return Downsample(self.factor)
            return Downsample(self.factor, "slice_profile", width=self.slice_width)
        return Identity() if self.jpeg_quality is None else Jpeg(self.jpeg_quality)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Slices to restore with one prior.

    Attributes
    ----------
    pieces : tuple of Piece
        In the order in which they are restored.
    prior : str
        Name in the registry of weights, or a path.
    fit_alignment : bool
        Fit shift, rotation, scale and grey levels of slices that are not on the prior's own grid.
    alignment : dict or None
        ``engine.alignment.Alignment`` as a dict: taken as it is for all slices, nothing is fitted.
    """

    pieces: tuple[Piece, ...]
    prior: str
    method: Method = "map"
    device: str = "auto"
    quality: Quality = "standard"
    samples: int = 32
    seed: int = 0
    fit_alignment: bool = True
    alignment: dict[str, Any] | None = None

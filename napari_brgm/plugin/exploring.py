"""What the Explore widget asks of the engine, free of Qt and napari: it runs in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.plugin.worker import as_told

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["Drawn", "Tell", "between", "samples"]

Tell = Callable[[str, int, int | None], None]
_INVERSION_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Images that a prior drew; none shows a patient.

    Attributes
    ----------
    images : (n, H, W) or (n, H, W, 3) float32 ndarray
        Samples: grey levels 0..255 of the generator frame; an interpolation: the units of its first slice.
    spacing : float
        Pixel size of the generator frame in mm; 0 if unknown.
    record : dict
        How they came about, JSON-ready.
    note : str
        What the person has to know besides, one sentence; or empty.
    """

    images: npt.NDArray[np.float32]
    spacing: float
    record: dict[str, Any]
    note: str = ""


def samples(prior: str, count: int, seed: int, device: str, tell: Tell) -> Drawn:
    """Draw ``count`` images.

    Raises
    ------
    BrgmError
        The prior cannot be loaded, or the device has too little memory.
    """
    from napari_brgm.engine.explore import draw, drawn_record
    from napari_brgm.zoo.registry import load_prior

    tell("loading the prior", 0, None)
    loaded = load_prior(prior)
    tell("drawing", 0, None)
    try:
        images = draw(loaded, count, seed, device=device)
    except RuntimeError as error:
        raise as_told(error, "the drawing") from error
    tell("drawing", count, count)
    return Drawn(images, loaded.info.spacing_mm, drawn_record(loaded, count, seed, device=device))


def between(prior: str, first: ShownSlice, second: ShownSlice, steps: int, device: str, tell: Tell) -> Drawn:
    """Draw ``steps`` images from one slice to another, both as the prior draws them.

    Raises
    ------
    BrgmError
        The prior cannot be loaded, a slice cannot be used, or the device has too little memory.
    """
    from napari_brgm.engine.explore import interpolate
    from napari_brgm.zoo.registry import load_prior

    tell("loading the prior", 0, None)
    loaded = load_prior(prior)
    tell("searching the latents", 0, None)
    try:
        found = interpolate(
            loaded, first.image, second.image, steps, spacing_first=first.spacing, spacing_second=second.spacing,
            inversion_steps=_INVERSION_STEPS, device=device,
            report=lambda done, total: tell("searching the latents", done, total),
        )  # fmt: skip
    except RuntimeError as error:
        raise as_told(error, "the interpolation") from error
    one, other = found.rmse
    note = f"the prior draws the two slices with errors of {one:.0f} and {other:.0f} of 255 grey levels"
    return Drawn(found.images, loaded.info.spacing_mm, found.provenance, note)

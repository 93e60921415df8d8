"""Images that a prior draws, in a thread, and then as stacks in the viewer, called synthetic.

They show nobody, so they have no place to keep: samples are put in the middle of what the viewer holds, on the plane
that it shows; their slider is an axis of its own in front of all others. An interpolation lies over its first slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers.geometry import plane_data, plane_geometry
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.plugin.background import Tell
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["DrawnImages", "add_interpolation", "add_samples", "drawn_between", "drawn_samples"]

_STACKS = ("samples", "interpolation")  # roles of layers with an axis that is not one of the scan
_INVERSION_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class DrawnImages:
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


def drawn_samples(prior: str, count: int, seed: int, device: str, tell: Tell) -> DrawnImages:
    """Draw ``count`` images, with the texture of scans where the prior has a network for it.

    Raises
    ------
    BrgmError
        The prior cannot be loaded.
    """
    from napari_brgm.engine.explore import draw, drawn_record
    from napari_brgm.zoo.registry import load_prior

    tell("loading the prior", 0, None)
    loaded = load_prior(prior)
    tell("drawing", 0, None)
    finish = loaded.parts.finish is not None
    images = draw(loaded, count, seed, finish=finish, device=device)
    tell("drawing", count, count)
    record = drawn_record(loaded, count, seed, finish=finish, device=device)
    return DrawnImages(images, loaded.info.spacing_mm, record)


def drawn_between(
    prior: str, first: ShownSlice, second: ShownSlice, steps: int, device: str, tell: Tell
) -> DrawnImages:
    """Draw ``steps`` images from one slice to another, both as the prior draws them.

    Raises
    ------
    BrgmError
        The prior cannot be loaded, or a slice cannot be used.
    """
    from napari_brgm.engine.explore import interpolate
    from napari_brgm.zoo.registry import load_prior

    tell("loading the prior", 0, None)
    loaded = load_prior(prior)
    tell("searching the latents", 0, None)
    found = interpolate(
        loaded, first.image, second.image, steps, spacing_first=first.spacing, spacing_second=second.spacing,
        inversion_steps=_INVERSION_STEPS, device=device,
        report=lambda done, total: tell("searching the latents", done, total),
    )  # fmt: skip
    one, other = found.rmse
    note = f"the prior draws the two slices with errors of {one:.0f} and {other:.0f} of 255 grey levels"
    return DrawnImages(found.images, loaded.info.spacing_mm, found.provenance, note)


def add_samples(viewer: ViewerModel, prior: str, drawn: DrawnImages) -> Image:
    """Add samples as one layer: (n, R, R), or with axes of length 1 where the viewer holds scans of more axes."""
    plain = [layer.ndim for layer in viewer.layers if layer.metadata.get("brgm", {}).get("role") not in _STACKS]
    ndim = max([2, *plain])
    rows, columns = _plane(viewer, ndim)
    images = np.swapaxes(drawn.images, 1, 2) if rows > columns else drawn.images
    across = [axis for axis in range(ndim) if axis not in (rows, columns)]
    data = np.expand_dims(images, [1 + axis for axis in across])
    rgb = drawn.images.ndim == 4
    shape = np.array(data.shape[1 : 1 + ndim])
    pixel = drawn.spacing or 1.0
    scale = np.where(np.isin(np.arange(ndim), across), 1.0, pixel)
    middle = _middle(viewer, ndim, across) if viewer.layers else scale * (shape - 1) / 2
    labels = tuple(viewer.dims.axis_labels[-ndim:]) if viewer.layers else ("row", "column")
    settings: dict[str, Any] = {} if rgb else {"contrast_limits": (0.0, 255.0), "colormap": "gray"}
    return _added(
        viewer,
        data / 255 if rgb else data,
        result_name("samples", prior),
        drawn.record | {"role": "samples", "task": "explore"},
        rgb=rgb,
        scale=(1.0, *scale),
        translate=(0.0, *(middle - scale * (shape - 1) / 2)),
        units=("pixel", *["mm" if drawn.spacing else "pixel"] * ndim),
        axis_labels=("sample", *labels),
        **settings,
    )


def add_interpolation(
    viewer: ViewerModel, first: Image, second: Image, shown: Sequence[ShownSlice], drawn: DrawnImages
) -> Image:
    """Add the images between two slices as one layer over the first, in its units."""
    record = drawn.record | {
        "role": "interpolation",
        "task": "explore",
        "source_layers": [first.name, second.name],
        "slices_shown": [[None if isinstance(i, slice) else i for i in one.index] for one in shown],
    }
    return _added(
        viewer,
        plane_data(first, shown[0], drawn.images),
        result_name("interpolation", f"{first.name} to {second.name}"),
        record,
        rgb=False,
        colormap=first.colormap,
        contrast_limits=tuple(first.contrast_limits),
        **plane_geometry(first, shown[0], drawn.images.shape),
    )


def _added(viewer: ViewerModel, data: npt.NDArray[Any], name: str, record: dict[str, Any], **settings: Any) -> Image:
    layer: Image = viewer.add_image(data, name=name, metadata={"brgm": record}, **settings)
    viewer.layers.selection.active = layer
    viewer.dims.set_current_step(viewer.dims.ndim - layer.ndim, 0)
    mark_synthetic(viewer)
    return layer


def _plane(viewer: ViewerModel, ndim: int) -> tuple[int, int]:
    """Axes, of the last ``ndim``, that are the screen's rows and columns; the last two where it shows others."""
    rows, columns = (axis - (viewer.dims.ndim - ndim) for axis in viewer.dims.displayed[-2:])
    return (rows, columns) if min(rows, columns) >= 0 else (ndim - 2, ndim - 1)


def _middle(viewer: ViewerModel, ndim: int, across: list[int]) -> npt.NDArray[np.float64]:
    """World position (ndim,) of the middle of the plane on show."""
    extent = np.asarray(viewer.layers.extent.world)  # (2, axes of the viewer)
    middle: npt.NDArray[np.float64] = extent.mean(axis=0)[-ndim:]
    middle[across] = np.array(viewer.dims.point)[-ndim:][across]
    return middle

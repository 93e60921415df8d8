"""A mask to begin with: what the prior cannot explain of the slice on show, or of all slices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_brgm.errors import BrgmError, Cancelled
from napari_brgm.plugin.layers.geometry import geometry
from napari_brgm.plugin.layers.scans import mask_colours
from napari_brgm.plugin.layers.shown import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_brgm.plugin.background import Tell
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["Suggestion", "add_suggestion", "suggesting"]


_OF = "brgm_suggested_for"  # in metadata of labels: the image's unique_id
_WHAT = "looking for what the prior cannot explain"


class Suggestion(NamedTuple):
    """What is suspect.

    Attributes
    ----------
    image : Image
    planes : list of (ShownSlice, (H, W) bool ndarray)
        Of slices where something is.
    looked : int
        Slices that were looked at.
    failed : str
        Why the first of those was not that could not be; '' where all were.
    """

    image: Image
    planes: list[tuple[ShownSlice, npt.NDArray[np.bool_]]]
    looked: int
    failed: str = ""


def suggesting(image: Image, planes: Sequence[ShownSlice], prior: str) -> Callable[[Tell], Suggestion]:
    """What looks at slices, in a thread: it loads the prior."""

    def work(tell: Tell) -> Suggestion:
        from napari_brgm.engine.suspects import suspects
        from napari_brgm.zoo.registry import load_prior

        loaded = load_prior(prior)
        found, reasons = [], []
        for number, shown in enumerate(planes):
            where = f", slice {number + 1} of {len(planes)}" if len(planes) > 1 else ""
            still = partial(tell, f"{_WHAT}{where}", number, len(planes))
            still()
            try:
                marked = suspects(shown.image, loaded, shown.spacing, still)
            except BrgmError as error:
                if len(planes) == 1 or isinstance(error, Cancelled):
                    raise
                reasons.append(str(error))
                continue
            if marked.any():
                found.append((shown, marked))
        return Suggestion(image, found, len(planes) - len(reasons), reasons[0] if reasons else "")

    return work


def add_suggestion(viewer: ViewerModel, suggestion: Suggestion, beside: Labels | None = None) -> Labels:
    """Add it as labels on the image's grid, brush in hand to correct them.

    ``beside``: labels that are chosen already; where they were suggested for this image, it goes into them.
    """
    image = suggestion.image
    labels = beside if beside is not None and beside.metadata.get(_OF) == image.unique_id else None
    data = np.zeros(stored(image).shape, dtype=np.uint8) if labels is None else labels.data
    for shown, marked in suggestion.planes:
        data[shown.index] = np.maximum(data[shown.index], shown.as_stored(marked))
    if labels is None:
        labels = viewer.add_labels(
            data, name=f"{image.name} suggested mask", opacity=0.6, colormap=mask_colours(),
            metadata={_OF: image.unique_id}, **geometry(image),
        )  # fmt: skip
    else:
        labels.data = data  # tells who listens
    labels.mode = "paint"
    viewer.layers.selection.active = labels
    return labels

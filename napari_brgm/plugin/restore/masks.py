"""Masks that suit what is to be restored: the one of an image, and slices that a mask hides as a whole."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from napari_brgm.engine.estimate import REACH_MM
from napari_brgm.engine.windows import helping_mm
from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.shown import check_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels

    from napari_brgm.engine.job import Stack
    from napari_brgm.plugin.restore.preview import Part

__all__ = ["mask_for", "why_hidden"]


def mask_for(image: Image, masks: Sequence[Labels], chosen: Labels | None) -> Labels | None:
    """The mask of an image: the chosen one, unless another is called after the image, or it does not fit and one does.

    None: there is none.
    """
    fitting = [labels for labels in masks if _fits(image, labels)]
    own = [labels for labels in fitting if labels.name.startswith(f"{image.name} ")]
    for some in (own, fitting):
        if some:
            return chosen if chosen in some else some[-1]
    return chosen


def _fits(image: Image, labels: Labels) -> bool:
    try:
        check_mask(image, labels)
    except InputError:
        return False
    return True


def why_hidden(parts: Sequence[Part], stack: Stack | None) -> str:
    """Why a slice that the mask hides as a whole cannot be restored; '' where a neighbour tells of it, or none is.

    ``stack``: how the slices lie to those that were measured; None: each is restored by itself.
    """
    hidden = [part.missing is not None and bool(part.missing.all()) for part in parts]
    whole = "the mask hides the whole slice"
    if not any(hidden):
        return ""
    if stack is None:
        return f"{whole}; leave some of it to restore from"
    told = [at for at, gone in zip(stack.places, hidden, strict=True) if not gone]
    told += [at for at, _ in stack.neighbours]
    reach = helping_mm(stack, REACH_MM)
    for at, gone in zip(stack.places, hidden, strict=True):
        if gone and min((abs(at - place) for place in told), default=inf) > reach:
            return f"{whole}, and none within {reach:.3g} mm was measured; leave some of it to restore from"
    return ""

"""Doubts: what makes the figures of a person's own scans mean little, a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.engine.likeness import likeness
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.own_scans import OwnScans

if TYPE_CHECKING:
    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.grid.images import HeldOutImages

__all__ = ["doubts_of"]


def doubts_of(setting: Setting, images: HeldOutImages) -> list[str]:
    """What was assumed of one's own scans, and whether the prior knows their like; nothing for held-out sets.

    About a second an image.
    """
    if not isinstance(setting.held, OwnScans):
        return []
    found = list(images.notes)
    if setting.prior is not None:
        prior = as_prior(setting.prior)
        side = prior.info.spacing_mm
        ratios = [likeness(one, prior, (side, side) if side else None) for one in images.images if one.any()]
        unlike = sum(ratio is not None and ratio > 1 for ratio in ratios)
        if unlike:
            found.append(
                f"{unlike} of {len(images)} images are unlike what {prior.info.name} knows, so that its figures mean "
                "little: look whether their pixel size, plane and orientation are right, and brains stripped of skulls"
            )
    return found

"""Previews: what of a run's steps is to be seen. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.inference.step import Step

__all__ = ["Previews"]


class Previews(dict[int, "npt.NDArray[np.float32]"]):
    """The newest preview of each slice that shares the last step, by its number; the newest stands last."""

    def tell(self, step: Step) -> None:
        """Keep the preview of a step, if it has one, and no more of them than slices share it."""
        if step.preview is None:
            return
        self.pop(step.slice, None)
        self[step.slice] = step.preview
        while len(self) > step.together:
            del self[next(iter(self))]

"""A rival: the variational inference of the BRGM authors' released code, whose spread never saw the data.

Preset ``reference`` (released.py, inference/released_variational.py), on a slice on the prior's own grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.restore import restore
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["draws_with_released_entropy"]


def draws_with_released_entropy(
    image: npt.NDArray[np.float32], corruption: Corruption, prior: Prior, samples: int, seed: int = 0,
    steps: int | None = None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Draw (samples, R, R) restorations of a slice in grey levels; measured pixels are kept.

    ``steps``: of the search for the mean; None: as released.
    """
    settings = preset("reference").but(fit_pose=False)
    settings = settings if steps is None else settings.but(steps=steps)
    found = restore(image, corruption, prior, method="vi", samples=samples, seed=seed, settings=settings)
    draws: npt.NDArray[Any] = np.asarray(found.samples)
    return draws.astype(np.float64)

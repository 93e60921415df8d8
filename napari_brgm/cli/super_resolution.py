"""Super-resolution of one slice of a scan, to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.cli.one_slice import Task, restore_one

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.restored_slice import Job, Written
    from napari_brgm.corruptions import Downsample
    from napari_brgm.scan import Plane, Scan

__all__ = ["superres_slice"]


def superres_slice(
    scan: Scan,
    plane: Plane,
    index: int,
    corruption: Downsample,
    job: Job,
    truth: npt.NDArray[np.float32] | None = None,
) -> Written:
    """Restore one slice of a 3-D scan on a finer grid; parameters and errors are those of ``restore_one``."""
    factor = float(corruption.factor[0]), float(corruption.factor[1])
    return restore_one(scan, plane, index, Task("brgmSuperres", "super-resolved", corruption, factor), job, truth)

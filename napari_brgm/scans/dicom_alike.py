"""Alike: when two numbers of DICOM headers mean the same, said once. Headers round, and patients move.

    pixel size      what it moves the last pixel by is below a tenth of a pixel, and below 0.1 %
    direction       0.005 of a unit vector (0.3 degrees), as motion correction turns volumes
    echo time       0.1 %
    position        0.02 of a pixel; as far as a quarter of the slice distance where volumes were moved as a whole
    in the plane    half a pixel, or a quarter of the slice distance if that is more
    slice distance  a tenth of itself

Everything scales with the image: slices of a microscope are micrometres apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "DIRECTION", "ECHO", "IN_PLANE", "MOVED", "POSITION", "UNEVEN", "VALUE", "labels_of", "size_tolerance",
]  # fmt: skip

DIRECTION = 5e-3  # of unit vectors
ECHO = 1e-3  # of the echo time
POSITION = 0.02  # of a pixel, along the normal
MOVED = 0.25  # of the slice distance
IN_PLANE = 0.5  # of a pixel
UNEVEN = 0.1  # of the slice distance: rounded positions stay below, a missing slice is 1
VALUE = 1e-3  # of the numbers of a key: b in thousands, directions, milliseconds
_SIZE, _SIZE_LIMIT = 0.1, 1e-3


def size_tolerance(shape: tuple[int, int]) -> float:
    """How far pixel sizes of images of (rows, columns) may be apart, as part of themselves."""
    return min(_SIZE / max(shape), _SIZE_LIMIT)


def labels_of(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Number the groups of points that lie within 1 of the first of their group on each axis.

    Groups are numbered as they first appear. Thousands of points take a second, however many groups they form.

    Parameters
    ----------
    points : (N, D) ndarray
        In units of the tolerance of each axis.

    Returns
    -------
    (N,) ndarray

    Examples
    --------
    >>> labels_of(np.array([[0.0], [5.0], [0.4], [5.9]])).tolist()
    [0, 1, 0, 1]
    """
    own, first, inverse = np.unique(points, axis=0, return_index=True, return_inverse=True)
    if len(own) == 1:
        return np.zeros(len(points), dtype=np.int64)
    from scipy.spatial import KDTree

    tree, found = KDTree(own), np.full(len(own), -1, dtype=np.int64)
    count = 0
    for index in np.argsort(first):
        if found[index] >= 0:
            continue
        near = np.array(tree.query_ball_point(own[index], 1.0, p=np.inf))
        found[near[found[near] < 0]] = count
        count += 1
    return found[inverse.ravel()]

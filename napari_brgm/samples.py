"""Samples: draws of a large slice, kept where they differ from one another; elsewhere they are the measurement.

32 draws of a radiograph of 4,096 x 4,096 pixels take 2 GB as images, and a few megabytes where a stroke was painted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Images = npt.NDArray[np.float32]

__all__ = ["Samples", "samples_of"]

_LARGE = 1 << 28  # bytes of images, from which they are not made until they are asked for


class Samples:
    """Like an array (S, H, W[, 3]), float32, of which images are made one at a time.

    ``samples[k]`` and iteration give images, ``samples[a:b]`` samples, ``samples[k, ...]`` and ``samples[a:b, ...]``
    parts of these images, ``samples[..., row, column]`` the values of a pixel; ``np.asarray(samples)`` makes the whole
    array, with the memory that takes, and so does any other index.

    Parameters
    ----------
    values : (S, N[, 3]) float32 ndarray
        Of the N free pixels, row by row.
    free : (H, W) bool ndarray
    image : (H, W[, 3]) ndarray
        What the others hold.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, values: Images, free: npt.NDArray[np.bool_], image: npt.NDArray[Any]) -> None:
        self.values, self.free, self.image = values, free, image

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.values), *self.image.shape

    @property
    def ndim(self) -> int:
        return 1 + self.image.ndim

    @property
    def size(self) -> int:
        return len(self.values) * self.image.size

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Images]:
        return map(self._whole, self.values)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            return self._whole(self.values[key])
        if isinstance(key, slice):
            return Samples(self.values[key], self.free, self.image)
        place = key[1:] if isinstance(key, tuple) and len(key) == 3 and key[0] in (Ellipsis, slice(None)) else ()
        if self.image.ndim == 2 and len(place) == 2 and all(isinstance(i, int | np.integer) for i in place):
            row, column = place
            if not self.free[row, column]:
                return np.full(len(self), self.image[row, column], np.float32)
            row, column = range(self.free.shape[0])[row], range(self.free.shape[1])[column]
            number = int(np.count_nonzero(self.free[:row])) + int(np.count_nonzero(self.free[row, :column]))
            return self.values[:, number]
        if isinstance(key, tuple) and key and isinstance(key[0], int | np.integer):
            return self[key[0]][key[1:]]
        if isinstance(key, tuple) and key and isinstance(key[0], slice):
            some, like = self[key[0]], np.empty((0, *self.image.shape), np.float32)
            return np.stack([image[key[1:]] for image in some]) if len(some) else like[key]
        return np.asarray(self)[key]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = np.empty(self.shape, np.float32)
        for place, image in zip(found, self, strict=True):
            place[...] = image
        return found.astype(dtype or np.float32, copy=False)

    def mean(self, axis: int = 0, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
        """Mean image (H, W[, 3]) for axis 0; along others as of the whole array."""
        if axis:
            return np.asarray(np.asarray(self).mean(axis=axis, dtype=dtype))
        return self._whole(self.values.mean(axis=0, dtype=dtype))

    def turned(self, turn: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Samples:
        """The same with each image turned."""
        number = np.full(self.free.shape, -1, np.int64)
        number[self.free] = np.arange(self.values.shape[1])
        number = turn(number)
        free = number >= 0
        return Samples(self.values[:, number[free]], free, turn(self.image))

    def _whole(self, values: npt.NDArray[Any]) -> Images:
        found = self.image.astype(np.float32)
        found[self.free] = values
        return found


def samples_of(values: Images, free: npt.NDArray[np.bool_], image: npt.NDArray[Any]) -> Images:
    """Samples as an array (S, H, W[, 3]), or where that would be large and a part of it is measured like one."""
    if free.all():
        return values.reshape(len(values), *free.shape, *values.shape[2:])
    lazy = Samples(values, free, image)
    return cast("Images", lazy) if 4 * lazy.size > _LARGE else np.asarray(lazy)

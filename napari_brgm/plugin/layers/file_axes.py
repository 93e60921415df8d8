"""How the axes of a layer lie in its file: a pixel, a plane or a whole array goes from one to the other, and back.

layer  (.., slices, rows, columns) as shown; times, volumes or samples lead; a 2-D one is slice 0
file   (I, J, K), or (I, J, K, T) where something leads
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Index = tuple[int | slice, ...]
    Turn = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

__all__ = ["FileAxes", "count_of_space"]

_LEADING = frozenset({"time", "t", "volume", "sample"})  # labels of axes that are not of space


def count_of_space(ndim: int, first_label: object) -> int:
    """How many of a layer's last axes are of space, by the label of its first."""
    return min(3, ndim - (1 if ndim == 3 and str(first_label).lower() in _LEADING else 0))


@dataclass(frozen=True, slots=True)
class FileAxes:
    """Axes of one layer.

    Attributes
    ----------
    order : tuple of int
        For each of the file's three axes the one of (slices, rows, columns) that it is.
    flips : tuple of bool
        Whether it runs backwards there.
    leading : tuple of int
        Lengths of the layer's axes that are not of space.
    lengths : tuple of int
        Of slices, rows and columns.
    space : int
        How many of these the layer has.
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]
    leading: tuple[int, ...]
    lengths: tuple[int, ...]
    space: int

    @classmethod
    def of(cls, shape: Sequence[int], first_label: object, record: Mapping[str, Any]) -> Self:
        """Axes of a layer with data of ``shape``.

        Parameters
        ----------
        first_label : object
            Label of its first axis.
        record : mapping
            Its ``metadata["scan"]``; empty where no reader of ours opened it: it runs to the head, back and left then.

        Raises
        ------
        InputError
            It has more than one axis besides three of space.
        """
        space = count_of_space(len(shape), first_label)
        leading = tuple(shape[: len(shape) - space])
        if sum(n > 1 for n in leading) > 1:
            raise InputError(f"it has {len(shape)} axes; files hold three of space and one of time or samples")
        order, flips = (2, 1, 0), (False, False, False)
        if record:
            shown, file = (np.asarray(record[key], dtype=float)[:3, :3] for key in ("affine", "file_affine"))
            steps = np.linalg.solve(file, shown)  # file voxels per shown voxel
            of_file = [int(np.argmax(np.abs(steps[:, axis]))) for axis in range(3)]
            if sorted(of_file) == [0, 1, 2]:  # else turned since: any order is true
                order = (of_file.index(0), of_file.index(1), of_file.index(2))
                flips = tuple(bool(steps[axis, order[axis]] < 0) for axis in range(3))  # type: ignore[assignment]
        return cls(order, flips, leading, (1,) * (3 - space) + tuple(shape[len(shape) - space :]), space)

    def array(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A layer's data as its file holds them: (I, J, K), or (I, J, K, T); a view where that can be."""
        whole = data.reshape(int(np.prod(self.leading, dtype=int)), *self.lengths)
        space = whole.transpose(0, *(axis + 1 for axis in self.order))
        space = np.flip(space, tuple(axis + 1 for axis, flip in enumerate(self.flips) if flip))
        return space[0] if len(space) == 1 else np.moveaxis(space, 0, -1)

    def in_file(self, index: Sequence[int | slice]) -> tuple[list[int | None], Turn]:
        """Where a pixel or a plane of the layer lies in the file, and what turns the plane's arrays (.., h, w).

        Rows and columns of a plane are axes of the file in their order; they are None in its index.

        Raises
        ------
        InputError
            The plane has an axis that is not of space.
        """
        shown: list[int | slice] = [*[0] * (3 - self.space), *index[len(self.leading) :]]
        found: list[int | None] = []
        for axis, flip in zip(self.order, self.flips, strict=True):
            entry = shown[axis]
            length = self.lengths[axis]
            found.append(None if isinstance(entry, slice) else length - 1 - entry if flip else entry)
        if int(np.prod(self.leading, dtype=int)) > 1:
            before = [i for i in index[: len(self.leading)] if not isinstance(i, slice)]
            if len(before) < len(self.leading):
                raise InputError("a plane along an axis of time or samples has no place in a file")
            found.append(int(np.ravel_multi_index(before, self.leading)))
        swap, backwards = self._plane(found)
        return found, lambda array: np.flip(np.swapaxes(array, -2, -1) if swap else array, backwards)

    def on_layer(self, index: Sequence[int | None]) -> tuple[Index, Turn]:
        """The reverse of ``in_file``.

        Raises
        ------
        InputError
            The index is none of this file.
        """
        timed = int(np.prod(self.leading, dtype=int)) > 1
        lengths = [self.lengths[axis] for axis in self.order] + [int(np.prod(self.leading))] * timed
        fits = len(index) == len(lengths) and (not timed or index[3] is not None)
        if not fits or not all(i is None or 0 <= i < n for i, n in zip(index, lengths, strict=True)):
            raise InputError(f"there is no place {list(index)} in the file")
        shown: list[int | slice] = [0, 0, 0]
        for axis, flip, length, entry in zip(self.order, self.flips, lengths, index, strict=False):
            shown[axis] = slice(None) if entry is None else length - 1 - entry if flip else entry
        before = np.unravel_index(index[3], self.leading) if timed else (0,) * len(self.leading)  # type: ignore[arg-type]
        swap, backwards = self._plane(index)

        def turn(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            array = np.flip(array, backwards)
            return np.swapaxes(array, -2, -1) if swap else array

        return (*map(int, before), *shown[3 - self.space :]), turn

    def _plane(self, index: Sequence[int | None]) -> tuple[bool, tuple[int, ...]]:
        """Whether rows and columns of a plane change places, and which axes of what the file holds run backwards."""
        free = [axis for axis in range(3) if index[axis] is None]
        if len(free) != 2:
            return False, ()
        backwards = tuple(axis - 2 for axis, of_file in enumerate(free) if self.flips[of_file])
        return self.order[free[0]] > self.order[free[1]], backwards

"""Scan: an image volume with its place in the world. The one data noun of the package.

    world = affine @ (i, j, k, 1)        voxel index -> RAS+ mm: right, anterior, superior of the patient

A slice is shown as radiologists see it: rows and columns run towards the patient's left, back and feet, so the display
axes are the voxel axes nearest to -x, -y, -z. Nothing is interpolated: a slice is a view of the voxels, flipped and
transposed.

Source: the axis assignment repeats nibabel's ``io_orientation`` (polar decomposition, then the largest cosine first).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError
from napari_brgm.lossless import as_type, exact_type

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["LEANING", "Plane", "Scan", "ScanSlice", "distance_of", "lean_of", "nearest_axes"]

LEANING = 30.0  # degrees between slices and a plane, from which on they are not called by it

Plane = Literal["axial", "coronal", "sagittal"]
Affine = npt.NDArray[np.float64]

# world axes (x, y, z) of a plane: (normal, rows, columns); rows and columns are shown from the + to the - end
_WORLD: dict[str, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
_UPRIGHT = 0.99  # of the step from slice to slice, that lies along their normal
_ROUNDED = "its whole numbers are too large for fractions beside them: restored voxels are rounded to whole numbers"


@dataclass(slots=True, eq=False)
class Scan:
    """An image in real-world values, with its place in the patient. Not to be changed: ``dataclasses.replace`` it.

    Attributes
    ----------
    array : (I, J, K) or (I, J, K, T) ndarray
        Values in ``units`` (rescale applied), in a type that holds each of them exactly. A 2-D image has K = 1.
    affine : (4, 4) ndarray
        Voxel index to RAS+ mm; maps to the centre of a voxel.
    units : str
        Intensity units, e.g. 'HU'; 'a.u.' when the file names none.
    name : str
        What to call it on the screen; never the patient's name.
    modality : str
        DICOM modality ('MR', 'CT', 'CR', ...), '' when unknown.
    source : Path or None
        File or folder it was read from.
    header : object or None
        nibabel header, or a tuple of pydicom datasets without pixels, for export.
    notes : tuple of str
        Sentences about what is doubtful (slices missing, pixel size unknown), for the person at the screen.
    provenance : dict or None
        How it was computed, JSON-ready; None for an image as acquired, or as others computed it.

    Raises
    ------
    InputError
        The array is not a real 3-D or 4-D one or has masked pixels, or the affine is no invertible (4, 4) matrix.
    """

    array: npt.NDArray[Any]
    affine: Affine
    units: str = "a.u."
    name: str = ""
    modality: str = ""
    source: Path | None = None
    header: object | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.array, self.affine = _unmasked(self.array), _checked(self.affine)
        array = self.array
        if array.ndim not in (3, 4):
            raise InputError(f"a scan has 3 or 4 axes, got {array.ndim}; give a 2-D image a last axis of length 1")
        if array.dtype.kind not in "fiub":
            raise InputError(f"a scan holds real numbers, got {array.dtype}; convert complex or colour images first")
        if 0 in array.shape:
            raise InputError(f"a scan needs at least one voxel on each axis, got the shape {array.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(I, J, K) or (I, J, K, T)."""
        return self.array.shape

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        """(3,) distance between voxel centres along each array axis, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def volumes(self) -> int:
        """Number of volumes T; 1 for a 3-D scan."""
        return self.array.shape[3] if self.array.ndim == 4 else 1

    @property
    def plane(self) -> Plane:
        """Plane of the slices along the last spatial axis: as acquired, for most files; the only one of a 2-D image."""
        return next(plane for plane in get_args(Plane) if self._axes(plane)[0] == 2)

    def axis_across(self, plane: Plane) -> int:
        """Array axis that goes from slice to slice of this plane."""
        return int(self._axes(plane)[0])

    def count(self, plane: Plane) -> int:
        """Return the number of slices of this plane."""
        return int(self.array.shape[self.axis_across(plane)])

    def slice(self, plane: Plane, index: int, volume: int = 0) -> ScanSlice:
        """Take one slice in display orientation, its values as they are.

        Parameters
        ----------
        plane : {'axial', 'coronal', 'sagittal'}
            For oblique scans, the voxel axes nearest to that plane.
        index : int
            Voxel index along the array axis across the plane, 0 .. ``count(plane) - 1``, in the order of the array.
        volume : int
            Index on the fourth axis, 0 for a 3-D scan.

        Raises
        ------
        InputError
            There is no such plane, slice or volume.
        """
        axes = self._axes(plane)
        self._check_position(plane, index, volume)
        view, affine = self._view(self.array, axes, index, volume)
        spacing = np.linalg.norm(affine[:3, :2], axis=0)
        image = np.array(view, dtype=exact_type(view), order="C")  # (H, W), a copy
        return ScanSlice(
            image, (float(spacing[0]), float(spacing[1])), affine, plane, int(index), int(volume), self.units, self.name
        )

    def with_slice(self, piece: ScanSlice, image: npt.ArrayLike, measured: npt.NDArray[np.bool_] | None = None) -> Scan:
        """Return a copy with ``piece`` replaced by ``image``: ``with_slices`` of one, the inverse of ``slice``."""
        return self.with_slices([(piece, image, measured)])

    def with_slices(self, parts: Iterable[tuple[ScanSlice, npt.ArrayLike, npt.NDArray[np.bool_] | None]]) -> Scan:
        """Return a copy, the only one made, with slices replaced, and all else bit for bit.

        Parameters
        ----------
        parts : iterable of (ScanSlice, (H, W) array, (H, W) bool array or None)
            What is replaced, by what, and which pixels of the slice stay the scan's own; None: none.

        Returns
        -------
        Scan
            In the type of ``lossless.exact_type``. Where that is one of integers the new pixels are rounded and
            ``notes`` says so.

        Raises
        ------
        InputError
            An image or map of what is measured has another shape than the slice, the slice is not one of this scan, or
            an image has masked pixels.
        """
        array, notes = self.array.astype(exact_type(self.array)), self.notes  # a copy
        for piece, given, measured in parts:
            axes = self._axes(piece.plane)
            self._check_position(piece.plane, piece.index, piece.volume)
            image = _unmasked(given)
            new = np.ones(image.shape, dtype=bool) if measured is None else ~np.asarray(measured, dtype=bool)
            view, _ = self._view(array, axes, piece.index, piece.volume)
            for what, found in (("image", image.shape), ("map of what is measured", new.shape)):
                if found != view.shape:
                    raise InputError(f"the {what} has the shape {found}, the slice it replaces {view.shape}")
            view[new] = as_type(image[new], array.dtype)
            if array.dtype.kind != "f" and image.dtype.kind == "f" and _ROUNDED not in notes:
                notes = (*notes, _ROUNDED)
        return replace(self, array=array, notes=notes)

    def refined(self, plane: Plane, images: npt.NDArray[Any], factor: tuple[float, float, float]) -> Scan:
        """Put slices, all of them estimates, on a finer grid of the same box, along this scan's axes: a view of them.

        Slice i' lies at (i' + 1/2) / factor - 1/2 of this scan's slices, as pixels do of its pixels: the edges stay,
        the centres move.

        Parameters
        ----------
        plane : {'axial', 'coronal', 'sagittal'}
        images : (K', H', W') or (T, K', H', W') array
            In display orientation, slices in the order of ``slice``; of the shape of this scan times the factor, to the
            nearest voxel.
        factor : (float, float, float)
            Voxels of the finer grid per voxel of this one: from slice to slice, row, column.

        Raises
        ------
        InputError
            A factor is not above 0, or the images have not the shape that it asks for.
        """
        if not (min(factor) > 0 and np.isfinite(factor).all()):
            raise InputError(f"factor must be three numbers above 0, got {factor}")
        axes, signs = self._axes(plane), dict(zip(*nearest_axes(self.affine), strict=True))
        expected = tuple(round(self.shape[axis] * f) for axis, f in zip(axes, factor, strict=True))
        if images.ndim not in (3, 4) or images.shape[-3:] != expected:
            raise InputError(f"a factor of {factor} asks for slices of the shape {expected}, got {images.shape}")
        index = np.eye(4)  # finer index -> index
        for axis, f, found in zip(axes, factor, expected, strict=True):
            flipped = axis != axes[0] and signs[axis] > 0  # display runs towards the negative end of the world axis
            index[axis, axis] = 1 / f
            index[axis, 3] = self.shape[axis] - 0.5 - (found - 0.5) / f if flipped else (1 / f - 1) / 2
        space = np.flip(images, tuple(d - 3 for d in (1, 2) if signs[axes[d]] > 0))
        order = [space.ndim - 3 + axes.index(axis) for axis in range(3)]
        array = space.transpose(*order, *range(space.ndim - 3))
        return replace(self, array=array, affine=self.affine @ index)

    def _axes(self, plane: str) -> tuple[int, int, int]:
        """Array axes (normal, rows, columns) of a plane."""
        if plane not in _WORLD:
            raise InputError(f"there is no plane {plane!r}; choose one of {', '.join(get_args(Plane))}")
        nearest = nearest_axes(self.affine)[0]
        normal, rows, columns = (nearest[world] for world in _WORLD[plane])
        return normal, rows, columns

    def _check_position(self, plane: Plane, index: int, volume: int) -> None:
        count = self.count(plane)
        if not 0 <= index < count:
            raise InputError(f"there is no {plane} slice {index}; choose one of 0 .. {count - 1}")
        if not 0 <= volume < self.volumes:
            raise InputError(f"there is no volume {volume}; choose one of 0 .. {self.volumes - 1}")

    def _view(
        self, array: npt.NDArray[Any], axes: tuple[int, int, int], index: int, volume: int
    ) -> tuple[npt.NDArray[Any], Affine]:
        """Writable (H, W) view of ``array`` in display orientation, and its affine."""
        normal, rows, columns = axes
        space = array[..., volume] if array.ndim == 4 else array
        signs = dict(zip(*nearest_axes(self.affine), strict=True))
        view = space.transpose(normal, rows, columns)[index]
        first = np.zeros(4)  # voxel shown at the top left
        first[normal], first[3] = index, 1
        affine = np.eye(4)
        affine[:3, 2] = self.affine[:3, normal]
        for display, axis in enumerate((rows, columns)):
            flipped = signs[axis] > 0  # display runs towards the negative end of the world axis
            affine[:3, display] = self.affine[:3, axis] * (-1 if flipped else 1)
            if flipped:
                first[axis] = space.shape[axis] - 1
                view = np.flip(view, display)
        affine[:3, 3] = (self.affine @ first)[:3]
        return view, affine


@dataclass(frozen=True, slots=True, eq=False)
class ScanSlice:
    """One plane of a scan in display orientation.

    Axial rows run anterior to posterior, columns patient right to left (radiological); coronal rows superior to
    inferior, columns right to left; sagittal rows superior to inferior, columns anterior to posterior.

    Attributes
    ----------
    image : (H, W) ndarray
        Values in ``units``, in the type of ``lossless.exact_type``; a copy.
    spacing : (float, float)
        Pixel size (row, column), mm.
    affine : (4, 4) ndarray
        (row, column, 0, 1) to RAS+ mm; the third column is the step to the next slice.
    plane, index, volume
        Where it was taken, as in ``Scan.slice``.
    units, name : str
        Of the scan.
    """

    image: npt.NDArray[Any]
    spacing: tuple[float, float]
    affine: Affine
    plane: Plane
    index: int
    volume: int = 0
    units: str = "a.u."
    name: str = ""

    def refined(self, image: npt.ArrayLike, factor: tuple[float, float]) -> Scan:
        """Put ``image``, all of it an estimate, on a finer grid of the same rectangle: a (H', W', 1) scan, float32.

        Pixel i' of the finer grid lies at (i' + 1/2) / factor - 1/2 of this one: the edges stay, the centres move.

        Parameters
        ----------
        image : (H', W') array
            H' = H * factor[0] and W' = W * factor[1], to the nearest pixel.
        factor : (float, float)
            Pixels of the finer grid per pixel of this one, (row, column).

        Raises
        ------
        InputError
            The factor is not above 0, or the image has not the shape it asks for or has masked pixels.
        """
        if not (min(factor) > 0 and np.isfinite(factor).all()):
            raise InputError(f"factor must be two numbers above 0, got {factor}")
        array = np.array(_unmasked(image), dtype=np.float32)
        expected = tuple(round(n * f) for n, f in zip(self.image.shape, factor, strict=True))
        if array.shape != expected:
            raise InputError(f"a factor of {factor} asks for an image of the shape {expected}, got {array.shape}")
        index = np.eye(4)  # finer index -> index
        for axis in (0, 1):
            index[axis, axis] = 1 / factor[axis]
            index[axis, 3] = (1 / factor[axis] - 1) / 2
        return Scan(array[..., None], self.affine @ index, self.units, self.name)


def nearest_axes(affine: Affine) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Voxel axis nearest to each world axis x, y, z, and the sign (+1 or -1) with which it runs along it."""
    matrix = affine[:3, :3]
    left, _, right = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    cosines = left @ right  # (world, voxel), the rotation nearest to the affine
    axes, signs = [0, 0, 0], [1, 1, 1]
    free = np.ones(3, dtype=bool)
    for voxel in np.argsort(-np.abs(cosines).max(axis=0), kind="stable"):
        world = int(np.argmax(np.where(free, np.abs(cosines[:, voxel]), -1.0)))
        free[world] = False
        axes[world], signs[world] = int(voxel), 1 if cosines[world, voxel] >= 0 else -1
    return (axes[0], axes[1], axes[2]), (signs[0], signs[1], signs[2])


def distance_of(affine: Affine) -> float | None:
    """Of neighbouring slices along their normal, mm; the third axis goes from slice to slice.

    None where the slices are shifted against each other, so that pixels of neighbours do not lie above each other.
    """
    step, normal = affine[:3, 2], np.cross(affine[:3, 0], affine[:3, 1])
    found = abs(float(step @ normal)) / float(np.linalg.norm(normal))
    return None if found < _UPRIGHT * float(np.linalg.norm(step)) else found


def lean_of(affine: Affine) -> float:
    """Degrees between the slices across the third axis and the plane (axial, ...) that is nearest to all three axes."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    world = nearest_axes(affine)[0].index(2)
    return float(np.degrees(np.arccos(min(abs(normal[world]) / float(np.linalg.norm(normal)), 1.0))))


def _unmasked(values: npt.ArrayLike) -> npt.NDArray[Any]:
    if np.ma.is_masked(values):
        raise InputError("a scan holds no masked pixels (numpy.ma); give them values first, with numpy.ma.filled")
    return np.asarray(values)


def _checked(affine: npt.ArrayLike) -> Affine:
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise InputError(f"an affine is a finite (4, 4) matrix with the last row 0 0 0 1, got the shape {matrix.shape}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise InputError("the affine is singular: its first three columns must span the space")
    return matrix

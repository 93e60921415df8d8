"""Masks: which pixels of a scan's slices are missing.

A NIfTI or DICOM mask lies on the scan's grid and may touch any number of slices. A picture or NPY mask is one slice as
it is displayed (``Scan.slice``). Zero means measured; the one other value, whichever it is, means missing; inverted,
zero means missing. What lies between, as at the rim of an antialiased stroke, is missing from the half on. What share
is hidden is told, and a mask that hides most of a slice is refused unless somebody says that it is meant: it is that
of a program whose masks are black where pixels are missing, or there is hardly anything to restore from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "MaskRules", "SliceMasks", "check_shares", "mask_record", "missing_of", "one_mask", "percent", "told_shares",
]  # fmt: skip

Flags = npt.NDArray[np.bool_]
_MOST = 0.8  # of a slice that a mask may hide unasked
_RIM, _RIM_OF_CORE = 0.25, 4  # of all pixels, and of those set, so many may lie between the values; more is no mask
_SAVE = "save it with 0 (measured) and 1 (missing)"


@dataclass(frozen=True, slots=True)
class MaskRules:
    """How a mask is read.

    Attributes
    ----------
    inverted : bool
        It is zero where pixels are missing.
    sure : bool
        It may hide most of a slice.
    """

    inverted: bool = False
    sure: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SliceMasks:
    """Missing pixels (H, W) by slice index, and for the record how the file was read.

    ``elsewhere`` are slices that the mask touches and that were not asked for: they are not restored, nor relied on.
    """

    missing: dict[int, Flags]
    read: dict[str, Any] = field(default_factory=dict)
    elsewhere: frozenset[int] = frozenset()


def one_mask(path: Path, shape: tuple[int, int], index: int, title: str, rules: MaskRules) -> SliceMasks:
    """Read the mask of one slice (H, W): a picture, or an NPY file.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the slice.
    index : int
        Under which it is given.
    title : str
        Of the slice, such as 'axial slice 3'.

    Raises
    ------
    InputError, ScanError
        It cannot be read, is no mask, has another size, or marks nothing, everything, or most and nobody is sure.
    """
    values = _npy(path) if path.suffix.lower() == ".npy" else _picture(path)
    if values.shape != shape:
        raise InputError(
            f"the mask {path.name} has {_times(values.shape)} pixels (rows x columns) but {title} has {_times(shape)}; "
            "paint it on the same slice"
        )
    flags, between = missing_of(values, path.name, rules)
    check_shares(path.name, {title: flags}, rules)
    if not flags.any():
        raise InputError(f"the mask {path.name} is empty on {title}; mark the region to restore")
    return SliceMasks({index: flags}, mask_record(rules, between))


def told_shares(missing: Mapping[int, Flags], title: Callable[[int], str]) -> None:
    """Say on stderr what share of the slices is hidden."""
    shares = {i: float(flags.mean()) for i, flags in missing.items()}
    if len(shares) == 1:
        ((index, share),) = shares.items()
        text = f"{percent(share)} of {title(index)} is hidden"
    else:
        least, most = percent(min(shares.values())), percent(max(shares.values()))
        text = f"{least if least == most else f'{least} to {most}'} of each of {len(shares)} slices is hidden"
    say_note(text)


def percent(share: float) -> str:
    """Whole per cent, but where that would read as nothing or everything.

    Examples
    --------
    >>> [percent(share) for share in (0.112, 0.0004, 0.9996, 1.0)]
    ['11 %', '0.04 %', '99.96 %', '100 %']
    """
    whole = 0.01 <= share <= 0.99 or share in (0, 1)
    return f"{100 * share:.0f} %" if whole else f"{100 * share:.2f} %"


def check_shares(name: str, found: Mapping[str, Flags], rules: MaskRules) -> None:
    """Refuse a mask that hides all of a slice, or most of it and nobody has said that it shall."""
    other = (
        "drop --invert-mask if it is zero where pixels were measured"
        if rules.inverted
        else "add --invert-mask if it is black (zero) where pixels are missing"
    )
    for title, missing in found.items():
        share = float(missing.mean())
        if share == 1:
            raise InputError(
                f"the mask {name} covers all of {title}; {other}, else leave some of the image to restore from"
            )
        if share > _MOST and not rules.sure:
            raise InputError(
                f"the mask {name} hides {percent(share)} of {title}; {other}, or add --yes if so much is missing"
            )


def mask_record(rules: MaskRules, between: int) -> dict[str, Any]:
    """What records say of how a mask was read."""
    return {"missing_where": "zero" if rules.inverted else "not zero", "between": between}


def _npy(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # numpy raises almost anything on damaged bytes
        raise InputError(f"the mask {path.name} cannot be read as NPY: {reason_of(error)}; save it again") from error
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise InputError(f"the mask {path.name} must be one slice of (rows, columns), got the shape {array.shape}")
    return array


def _picture(path: Path) -> npt.NDArray[Any]:
    from napari_brgm.scans.picture import read_picture

    try:
        picture = read_picture(path)
    except BrgmError as error:
        raise InputError(f"the mask cannot be read: {error}") from error
    if picture.transparent:
        raise InputError(
            f"the mask {path.name} has transparent pixels; flatten it, to black (measured) and white (missing)"
        )
    if picture.pixels.ndim == 3:
        raise InputError(f"the mask {path.name} is in colour; save it in black (measured) and white (missing)")
    for note in picture.notes:
        say_note(note.partition(";")[0])
    return picture.pixels


def missing_of(array: npt.NDArray[Any], name: str, rules: MaskRules) -> tuple[Flags, int]:
    """Where pixels are missing, and how many values lay between the two, which is told."""
    if not np.isfinite(array).all():
        raise InputError(f"the mask {name} holds NaN or infinite values; {_SAVE}")
    set_: Flags = array != 0
    if not set_.any():
        return (~set_ if rules.inverted else set_), 0
    top = float(array.max()) or float(array.min())
    between = int((set_ & (array != top)).sum())
    if not between:
        return (~set_ if rules.inverted else set_), 0
    if set_.all():
        raise InputError(f"the mask {name} holds several values, and 0 is none of them; {_SAVE}")
    full = int(set_.sum()) - between
    if not _graded(array, top) or between > min(_RIM * array.size, _RIM_OF_CORE * full):
        raise InputError(f"the mask {name} holds more than two values; {_SAVE}")
    level = array.astype(np.float64)
    say_note(
        f"{between} pixels of the mask {name} lie between its two values, 0 and {top:g}: those at {top / 2:g} "
        f"or {'below' if rules.inverted else 'above'} count as missing"
    )
    return (level <= top / 2 if rules.inverted else level >= top / 2), between


def _graded(array: npt.NDArray[Any], top: float) -> bool:
    """Whether values between may be shades of two, and no labels: fractions, or levels up to a picture's white."""
    return array.min() >= 0 and (top in (255.0, 65535.0) or bool((array != np.rint(array)).any()))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

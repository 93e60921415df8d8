"""Image files to slices: decoded one at a time into the frame, so that only their bytes are ever held."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.datasets.deblock import deblocked
from napari_brgm.datasets.image_archive import ImageArchive, subjects_of
from napari_brgm.datasets.slice_set import SliceSet
from napari_brgm.errors import InputError, ScanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.datasets.image_file import Pixels

__all__ = ["check_size", "chosen_images", "slices_of_images", "to_levels"]

_MOST_BYTES = 1 << 35  # where the machine does not tell its memory
_JPEG = (".jpg", ".jpeg")
_SURVEYED = 32  # images looked at to learn what the set holds


def slices_of_images(
    archive: ImageArchive, framing: Framing, pixel_mm: tuple[float, float], chosen: Sequence[int], deblock: bool = False
) -> SliceSet:
    """Decode the ``chosen`` images (indices into ``archive.names``, ascending) into the frame.

    Grey levels are kept as stored. A set that uses the lower k of its 16 bits (12-bit X-rays) is moved up by 16 - k
    bits, so that white is white. Colour files whose three channels agree are grey. ``deblock`` smooths those of JPEG.

    Raises
    ------
    ScanError
        An image cannot be decoded, or differs in kind (grey or colour, 8 or 16 bits) from the others.
    InputError
        They would not fit into memory.
    """
    names = [archive.names[i] for i in chosen]
    survey = np.unique(np.linspace(0, len(names) - 1, min(_SURVEYED, len(names))).astype(int))
    seen = [archive.pixels(names[i]) for i in survey]
    channels = 3 if all(image.ndim == 3 for image in seen) and any(_is_colour(image) for image in seen) else 1
    dtype = seen[0].dtype
    check_size(len(names) * channels * framing.resolution**2 * dtype.itemsize)
    images = np.empty((len(names), channels, framing.resolution, framing.resolution), dtype)
    brightest = 0
    for i, name in enumerate(names):
        pixels = archive.pixels(name)
        if pixels.dtype != dtype:
            raise ScanError(
                f"{name} has {8 * pixels.itemsize} bits, {names[0]} has {8 * dtype.itemsize}; give one kind"
            )
        brightest = max(brightest, int(pixels.max()))
        planes = _planes(pixels, channels, name)
        if planes.min() == planes.max():  # shows nothing, though its edge would inside the padding
            images[i] = 0
        else:
            smooth = deblock and name.lower().endswith(_JPEG)
            images[i] = to_levels(framing.apply(deblocked(planes) if smooth else planes, pixel_mm), dtype)
    levels = "as stored"
    if dtype == np.uint16 and 0 < (shift := 16 - brightest.bit_length()) < 16:
        images <<= np.uint16(shift)
        levels = f"as stored, times {2**shift}: the set uses {16 - shift} of its 16 bits"
    everyone = subjects_of(archive.names)
    owners = [everyone[i] for i in chosen]
    subject_names = tuple(dict.fromkeys(owners))
    number = {name: i for i, name in enumerate(subject_names)}
    return SliceSet(
        images, np.array([number[o] for o in owners], np.int64), tuple(names), subject_names, framing, levels
    )


def chosen_images(archive: ImageArchive, slices: tuple[int, int] | None, stride: int) -> list[int]:
    """Indices into ``archive.names``: within each subject those of the range, then every ``stride``-th of them all.

    Raises
    ------
    InputError
        A subject has fewer images than the range asks for.
    """
    members: dict[str, list[int]] = {}
    for i, subject in enumerate(subjects_of(archive.names)):
        members.setdefault(subject, []).append(i)
    if slices is not None:
        for subject, own in members.items():
            if not 0 <= slices[0] < slices[1] <= len(own):
                raise InputError(
                    f"the slices {slices[0]} to {slices[1]} lie outside the {len(own)} of {subject}; "
                    f"choose a range within 0 to {len(own)}"
                )
        members = {subject: own[slices[0] : slices[1]] for subject, own in members.items()}
    return sorted(i for own in members.values() for i in own)[::stride]


def to_levels(values: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    """Round to whole grey levels."""
    levels: Pixels = np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
    return levels


def check_size(size: int) -> None:
    """Refuse slices of so many bytes if they would not fit into this machine.

    Raises
    ------
    InputError
        They would not.
    """
    most = _memory()
    if size > most:
        raise InputError(
            f"these slices would fill {size / 1e9:.3g} GB of the machine's {most / 1e9:.3g} GB; "
            "take fewer with a stride, or a smaller frame"
        )


def _memory() -> int:
    """Bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return _MOST_BYTES


def _planes(pixels: Pixels, channels: int, name: str) -> Pixels:
    """(C, H, W) planes of an image."""
    if pixels.ndim == 3 and channels == 3:
        return np.moveaxis(pixels, -1, 0)
    if pixels.ndim == 2 and channels == 1:
        return pixels[None]
    if channels == 1 and not _is_colour(pixels):
        return pixels[None, ..., 0]
    what = "colour" if channels == 1 else "grey"
    raise ScanError(f"{name} is {what}, others are not; give grey images or colour images")


def _is_colour(pixels: Pixels) -> bool:
    return pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())

"""Lossless: the number types that keep measured values bit for bit, with fractions beside them where there is one.

    float16, float32, float64    float32, or their own
    integers                     float32 up to 16 bits, float64 beyond
    64-bit integers              float64 up to 2^53, else their own: what is restored beside them is rounded

One rule for whatever puts restored pixels beside measured ones: slices, restorations, layers, files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_type", "exact_type", "holds", "with_restored"]


def exact_type(values: npt.NDArray[Any]) -> np.dtype[Any]:
    """Smallest type that holds these values exactly, and fractions beside them if any type does both.

    Only 64-bit integers are looked at; of lazy ones the least and the greatest are computed.

    Examples
    --------
    >>> [str(exact_type(np.array([2**60], kind))) for kind in ("int64", "uint64")]
    ['int64', 'uint64']
    >>> [str(exact_type(np.array([1], kind))) for kind in ("bool", "uint16", "int32", "int64", ">f4", "float64")]
    ['float32', 'float32', 'float64', 'float64', 'float32', 'float64']
    """
    kind = np.result_type(values.dtype, np.float32)
    return kind if holds(kind, values) else values.dtype.newbyteorder("=")


def holds(kind: npt.DTypeLike, values: npt.NDArray[Any]) -> bool:
    """Whether a type holds these values exactly: floats by their type alone, integers by their range."""
    kind = np.dtype(kind)
    if values.dtype.kind == "f" or kind.kind != "f":
        return np.can_cast(values.dtype, kind)
    digits = int(np.finfo(kind).nmant) + 1
    if values.dtype.kind == "b" or 8 * values.dtype.itemsize <= digits or not values.size:
        return True
    least, greatest = int(values.min()), int(values.max())
    return bool(-(2**digits) <= least and greatest <= 2**digits)


def as_type(values: npt.NDArray[Any], kind: npt.DTypeLike, limits: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """Values in another type; in one of integers rounded and brought within ``limits`` or its range, NaN as 0.

    Examples
    --------
    >>> as_type(np.array([0.6, -1e30, np.nan]), np.int16).tolist()
    [1, -32768, 0]
    """
    kind = np.dtype(kind)
    if kind.kind == "f" or (limits is None and np.can_cast(values.dtype, kind)):
        return values.astype(kind)
    low, high = limits or (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    if values.dtype.kind in "iu":
        own = np.iinfo(values.dtype)
        return values.clip(max(low, own.min), min(high, own.max)).astype(kind)
    top = float(high) if int(float(high)) == high else np.nextafter(float(high), 0)  # 2^63 - 1 rounds up to 2^63
    whole = np.rint(np.nan_to_num(values.astype(np.float64), nan=0.0))
    return whole.clip(low, top).astype(kind)


def with_restored(image: npt.NDArray[Any], free: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An image (H, W[, 3]) with ``values`` (N[, 3]) in place of its N ``free`` pixels, in its exact type.

    Examples
    --------
    >>> with_restored(np.array([[2**60 + 1, 7]]), np.array([[False, True]]), np.array([0.5]))
    array([[1152921504606846977,                   0]])
    """
    kind = exact_type(image)
    found = image.astype(kind)
    found[free] = as_type(values, kind)
    return found

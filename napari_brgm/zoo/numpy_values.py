"""Arrays and scalars of numpy in a pickle, rebuilt from inert stand-ins.

An array is ``_reconstruct(ndarray, (0,), b'b')`` with the state (version, shape, dtype, Fortran order, bytes), or as
protocol 5 has it ``_frombuffer(bytes, dtype, shape, order)``; a scalar is ``scalar(dtype, bytes)``; a dtype is
``dtype(code, align, copy)`` with the state (version, byte order, ...).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Call
from napari_brgm.zoo.pickled_bytes import bytes_of
from napari_brgm.zoo.torch_storage import is_count

__all__ = ["NUMPY_NAMES", "array", "is_array", "plain"]

_MULTIARRAY: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
_FROM_BUFFER: Final = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
NUMPY_NAMES: Final = frozenset(
    {"numpy.dtype", "numpy.ndarray", "_codecs.encode", *_FROM_BUFFER}
    | {f"{module}.{name}" for module in _MULTIARRAY for name in ("_reconstruct", "scalar")}
)
_REAL: Final = ("f2", "f4", "f8")
_NUMBERS: Final = (*_REAL, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_MOST_AXES: Final = 8


def _dtype(value: Any, codes: tuple[str, ...], name: str) -> np.dtype[Any]:
    """Element type of a stand-in; objects and records, which could hold anything, are refused."""
    if isinstance(value, Call) and value.name == "numpy.dtype" and value.args:
        code, state = value.args[0], value.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if isinstance(code, str) and code in codes and isinstance(order, str) and order in ("<", ">", "|"):
            return np.dtype(order + code) if order != "|" else np.dtype(code).newbyteorder("<")
    raise WeightsError(f"{name} is an array of something other than numbers; the file was refused")


def is_array(value: Any) -> bool:
    """Whether a stand-in is that of an array or scalar."""
    return isinstance(value, Call) and (value.name in _FROM_BUFFER or value.name.rpartition(".")[0] in _MULTIARRAY)


def _parts(value: Any) -> tuple[Any, Any, bool, Any] | None:
    """Shape, dtype, whether it is stored by columns, and bytes."""
    match value:
        case Call(name=name, args=(content, kind, shape, order)) if name in _FROM_BUFFER:
            return shape, kind, order == "F", content
        case Call(name=name, state=(_, shape, kind, by_columns, content)) if name.endswith("._reconstruct"):
            return shape, kind, by_columns is True, content
    return None


def array(value: Any, name: str) -> Tensor:
    """Array or scalar of real numbers as float32.

    Raises
    ------
    WeightsError
        It is none, its bytes are not as many as its shape says, or they are not finite.
    """
    if isinstance(value, Call) and value.name.endswith(".scalar"):
        tensor = torch.tensor(plain(value), dtype=torch.float32)
    else:
        parts = _parts(value)
        if parts is None:
            raise WeightsError(f"{name} is not an array; the file is damaged or of another kind")
        shape, kind, by_columns, content = parts
        dtype, data = _dtype(kind, _REAL, name), bytes_of(content, name)
        if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or not all(map(is_count, shape)):
            raise WeightsError(f"the shape of {name} is malformed; the file is damaged")
        if math.prod(shape) * dtype.itemsize != len(data) or not len(data):
            raise WeightsError(f"{name} claims a shape that its bytes do not fill; the file is damaged")
        found = np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
        with np.errstate(all="ignore"):  # a double beyond float32 is not finite below
            tensor = torch.from_numpy(np.array(found, np.float32, order="C"))
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{name} holds values that are not finite; the file is damaged")
    return tensor


def plain(value: Any) -> Any:
    """Number of a numpy scalar; anything else as it is."""
    if not isinstance(value, Call) or value.name not in {f"{module}.scalar" for module in _MULTIARRAY}:
        return value
    if len(value.args) != 2:
        raise WeightsError("a number in the file is malformed; it is damaged")
    dtype, data = _dtype(value.args[0], _NUMBERS, "a number"), bytes_of(value.args[1], "a number")
    if len(data) != dtype.itemsize:
        raise WeightsError("a number in the file is malformed; it is damaged")
    return np.frombuffer(data, dtype)[0].item()

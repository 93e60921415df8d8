"""Tensors of torch.save and of pickled modules, rebuilt from inert stand-ins: numbers are checked, then bytes copied.

A tensor is a call of ``torch._utils._rebuild_tensor_v2`` (or of its older and newer kin) on a storage; parameters and
tensors with attributes wrap such a call. The storage is a reference into the archive
(``torch_archive``), or, where a module was pickled directly, ``torch.storage._load_from_bytes`` of a whole nested
torch.save in the older layout: a second pickle, read by the same interpreter that runs nothing.

    magic number | version 1001 | machine | object | storage keys | for each key: count (int64), its elements

Source: the layouts that ``torch.save`` writes, as ``pickletools.dis`` shows them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Call, Global, Persistent, fields, read_pickle
from napari_brgm.zoo.pickled_bytes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAGIC", "TENSOR_NAMES", "Storage", "TensorDecoder", "described", "is_count", "read_legacy"]

MAGIC: Final = 0x1950A86A20F9469CFC6C
_VERSION: Final = 1001
_DTYPES: Final = {
    "torch.FloatStorage": torch.float32, "torch.HalfStorage": torch.float16, "torch.DoubleStorage": torch.float64,
    "torch.BFloat16Storage": torch.bfloat16, "torch.LongStorage": torch.int64, "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16, "torch.CharStorage": torch.int8, "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool, "torch.storage.UntypedStorage": torch.uint8,
}  # fmt: skip
_TYPES: Final = {  # of elements, as tensors of untyped storages name them
    f"torch.{name}": getattr(torch, name)
    for name in (
        "bfloat16", "bool", "complex64", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "int16",
        "int32", "int64", "int8", "uint16", "uint32", "uint64", "uint8",
    )
}  # fmt: skip
_TENSOR, _TENSOR_1, _TENSOR_3 = (f"torch._utils._rebuild_tensor{version}" for version in ("_v2", "", "_v3"))
_PARAMETERS: Final = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_WITH_ATTRIBUTES: Final = "torch._tensor._rebuild_from_type_v2"
_LOAD: Final = "torch.storage._load_from_bytes"
TENSOR_NAMES: Final = (
    frozenset(_DTYPES) | frozenset(_TYPES) | frozenset(_PARAMETERS)
    | {_TENSOR, _TENSOR_1, _TENSOR_3, _WITH_ATTRIBUTES, _LOAD}
    | {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.Size", "torch.device"}
)  # fmt: skip
_MOST_AXES: Final = 8
_MOST_WRAPPERS: Final = 4


@dataclass(frozen=True, slots=True)
class Storage:
    """Elements of one type in a row; ``data`` is as long as they are."""

    dtype: torch.dtype
    data: memoryview

    @property
    def count(self) -> int:
        return len(self.data) // self.dtype.itemsize


def is_count(value: Any) -> bool:
    """Whether a value from a file can be a size or an offset."""
    return type(value) is int and 0 <= value < 2**48


def described(reference: Persistent) -> tuple[str, torch.dtype, int]:
    """Key, element type and count of a storage that a persistent id refers to."""
    match reference.id:
        case ("storage", Global(name=name), str(key), str(), count) if name in _DTYPES and is_count(count):
            return key, _DTYPES[name], count
        case ("storage", Global(name=name), str(key), str(), count, None) if name in _DTYPES and is_count(count):
            return key, _DTYPES[name], count
    raise WeightsError("the file refers to something that is not a storage of numbers; it was refused")


def read_legacy(data: memoryview, allowed: frozenset[str]) -> tuple[Any, dict[str, Storage]]:
    """Object and storages of a torch.save in the older layout.

    Raises
    ------
    WeightsError
        The bytes are not in this layout, or their numbers do not fit together.
    """
    magic, at = read_pickle(data, 0, frozenset())
    version, at = read_pickle(data, at, frozenset())
    machine, at = read_pickle(data, at, frozenset())
    if magic != MAGIC or version != _VERSION or fields(machine).get("little_endian") is not True:
        raise WeightsError("the file holds a torch archive of a version that is not known")
    references: list[Persistent] = []
    value, at = read_pickle(data, at, allowed | TENSOR_NAMES, references)
    keys, at = read_pickle(data, at, frozenset())
    found = [reference for reference in references if not _is_class(reference)]
    expected = {key: (dtype, count) for key, dtype, count in map(described, found)}
    storages: dict[str, Storage] = {}
    for key in keys if isinstance(keys, list) else [None]:
        if not isinstance(key, str) or key not in expected or key in storages:
            raise WeightsError("the torch archive is damaged: its list of storages does not fit")
        dtype, count = expected[key]
        end = at + 8 + count * dtype.itemsize
        if end > len(data) or int.from_bytes(data[at : at + 8], "little") != count:
            raise WeightsError("the torch archive is cut short, or claims more numbers than it has")
        storages[key] = Storage(dtype, data[at + 8 : end])
        at = end
    if at != len(data):
        raise WeightsError("the torch archive is damaged: bytes are left over at its end")
    return value, storages


def _is_class(reference: Persistent) -> bool:
    """Whether it is the class of a pickled module, which older versions kept with its source text."""
    return isinstance(reference.id, tuple) and reference.id[:1] == ("module",)


def _nested(value: Any) -> Storage:
    """Storage that was pickled as a torch.save of its own."""
    if not isinstance(value, Call) or value.name != _LOAD or len(value.args) != 1:
        raise WeightsError("the file holds a tensor without a storage; it is damaged")
    reference, storages = read_legacy(memoryview(bytes_of(value.args[0], "a storage")), frozenset())
    if not isinstance(reference, Persistent):
        raise WeightsError("the file nests something other than a storage in a tensor; it was refused")
    return _of(storages, reference)


def _of(storages: dict[str, Storage], reference: Persistent) -> Storage:
    key, dtype, count = described(reference)
    storage = storages.get(key)
    if storage is None or storage.dtype != dtype or storage.count != count:
        raise WeightsError("the torch archive is damaged: a storage is missing or of another size")
    return storage


def _unwrapped(value: Any) -> Any:
    """The call that makes the tensor itself, of one that makes a parameter or a tensor with attributes."""
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(value, Call) or not value.args:
            return value
        if value.name in _PARAMETERS:
            value = value.args[0]
        elif value.name == _WITH_ATTRIBUTES and len(value.args) >= 3:
            function, args = value.args[0], value.args[2]
            if not isinstance(function, Global) or not isinstance(args, tuple):
                return None
            value = Call(function.name, args)
        else:
            return value
    return None


def _typed(storage: Storage, kind: Any, name: str) -> Storage:
    """An untyped storage as elements of the type that its tensor names."""
    dtype = _TYPES.get(kind.name) if isinstance(kind, Global) else None
    if dtype is None:
        raise WeightsError(f"the elements of {name} are of a type that is not known; save it as float32")
    return Storage(dtype, storage.data[: len(storage.data) // dtype.itemsize * dtype.itemsize])


class TensorDecoder:
    """Makes tensors of stand-ins, float32 and contiguous.

    Parameters
    ----------
    storage_of : callable
        Storage of a persistent id.
    most_bytes : int
        Bound on all tensors together: a small file may name one storage a million times.
    """

    def __init__(self, storage_of: Callable[[Persistent], Storage], most_bytes: int) -> None:
        self.storage_of, self.bytes_left = storage_of, most_bytes

    @classmethod
    def over(cls, storages: dict[str, Storage], size: int) -> TensorDecoder:
        """Decoder for a file of ``size`` bytes with these storages beside the pickle."""
        return cls(lambda reference: _of(storages, reference), 4 * size)

    def decode(self, value: Any, name: str) -> Tensor:
        """Tensor of a stand-in (of a tensor or a parameter); ``name`` is for the message.

        Raises
        ------
        WeightsError
            It is not a tensor, reaches beyond its storage, or holds values that are not finite.
        """
        value = _unwrapped(value)
        if not isinstance(value, Call) or value.name not in (_TENSOR, _TENSOR_1, _TENSOR_3) or len(value.args) < 4:
            raise WeightsError(f"{name} is not a tensor; the file is damaged or of another kind")
        source, offset, size, stride = value.args[:4]
        storage = self.storage_of(source) if isinstance(source, Persistent) else _nested(source)
        if value.name == _TENSOR_3:
            storage = _typed(storage, value.args[6] if len(value.args) > 6 else None, name)
        if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_AXES):
            raise WeightsError(f"the shape of {name} is malformed; the file is damaged")
        if not all(map(is_count, (offset, *size, *stride))):
            raise WeightsError(f"the shape of {name} is malformed; the file is damaged")
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count == 0:
            raise WeightsError(
                f"{name} is empty, as no tensor of a generator is; the file is damaged or of another kind"
            )
        if count > storage.count or last >= storage.count:
            raise WeightsError(f"{name} claims more numbers than the file has for it")
        self.spend(count)
        if not storage.dtype.is_floating_point:
            raise WeightsError(
                f"{name} is stored as {str(storage.dtype).removeprefix('torch.')}, which are not real numbers; save it "
                "as float32 or float16"
            )
        width = storage.dtype.itemsize
        part = bytearray(storage.data[offset * width : (last + 1) * width])  # a copy, so that it is aligned
        row = torch.frombuffer(part, dtype=storage.dtype)
        tensor = row.as_strided(size, stride).float().contiguous()
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} holds values that are not finite; the file is damaged")
        return tensor

    def spend(self, count: int) -> None:
        """Count so many float32 numbers against the bound.

        Raises
        ------
        WeightsError
            There are more than the file can have.
        """
        self.bytes_left -= 4 * count
        if self.bytes_left < 0:
            raise WeightsError("the tensors of the file claim more numbers than the file has")

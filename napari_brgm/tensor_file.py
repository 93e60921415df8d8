"""Tensor files: the safetensors format, read and written with torch alone, so that the engine needs no further package.

    8 bytes  length of the header, little endian
    header   JSON: {"__metadata__": {text: text}, name: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}}
    data     the tensors' bytes, little endian, row-major, without gaps

Source: the format's specification (the safetensors README, "Format"). Nothing in such a file can run.
The reader trusts no number in it: sizes are checked before anything is allocated.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from napari_brgm.text import shortened, well_formed
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TensorFileError", "read_header", "read_tensors", "write_tensors"]

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "U64": torch.uint64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LONGEST_HEADER = 16_000_000  # bytes; the format allows 100 MB, which as JSON can take gigabytes to read
_MOST_AXES = 32


class TensorFileError(ValueError):
    """The bytes are not a tensor file."""


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file.

    Raises
    ------
    TensorFileError
        The file is truncated or malformed.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        header, metadata, size = _opened(file, path.stat().st_size)
        _check_apart(header)
        data = bytearray(size)
        size = file.readinto(data)
    return {name: _tensor(data, size, name, entry) for name, entry in header.items()}, metadata


def read_header(path: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the tensors, and metadata, of a file whose tensors are left unread.

    Raises
    ------
    TensorFileError
        The file is truncated or malformed.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        header, metadata, _ = _opened(file, path.stat().st_size)
    return list(header), metadata


def _opened(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, str], int]:
    """Entries of the tensors, metadata, and how many bytes follow; the file, of ``size`` bytes, stands there then."""
    first = file.read(8)
    header, metadata, start = _header(first, file.read(min(_length(first), _LONGEST_HEADER)), size)
    return header, metadata, size - start


def _length(first: bytes) -> int:
    if len(first) < 8:
        raise TensorFileError("the file is shorter than its header")
    return int.from_bytes(first, "little")


def _header(first: bytes, rest: bytes, size: int) -> tuple[dict[str, Any], dict[str, str], int]:
    """Entries of the tensors, metadata, and where the data begin, of a file of ``size`` bytes that begins so."""
    length = _length(first)
    if _LONGEST_HEADER < length <= size - 8:
        raise TensorFileError(f"the header takes {length} bytes, and more than {_LONGEST_HEADER} are not read")
    if length > size - 8:
        raise TensorFileError("the header is longer than the file")
    try:
        header: Any = json.loads(rest)
    except (ValueError, RecursionError) as error:
        raise TensorFileError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise TensorFileError("the header is not a table of tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TensorFileError("the metadata is not a table of texts")
    return header, metadata, 8 + length


def _check_apart(header: dict[str, Any]) -> None:
    """Refuse tensors that share bytes: a small file could stand for any number of copies of them."""
    try:
        ranges = sorted((*entry["data_offsets"], name) for name, entry in header.items() if 0 not in entry["shape"])
        shared = next((one[2] for other, one in pairwise(ranges) if one[0] < other[1]), None)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TensorFileError("the entry of a tensor is malformed") from error
    if shared is not None:
        raise TensorFileError(f"the bytes of '{shortened(shared, 60)}' are those of another tensor too")


def _tensor(data: bytearray, size: int, name: str, entry: Any) -> Tensor:
    said = f"'{shortened(name, 60)}'"
    try:
        dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise TensorFileError(f"the entry of {said} is malformed") from error
    numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise TensorFileError(f"the entry of {said} is malformed")
    if len(shape) > _MOST_AXES:
        raise TensorFileError(f"{said} has {len(shape)} axes, and more than {_MOST_AXES} are not read")
    count = math.prod(shape)
    if not (begin <= end <= size and end - begin == count * dtype.itemsize):
        raise TensorFileError(f"the bytes of {said} are not all there")
    if count == 0:
        try:
            return torch.empty(shape, dtype=dtype)
        except (RuntimeError, TypeError, OverflowError) as error:  # an axis beyond 64 bits beside one of length 0
            raise TensorFileError(f"the shape of {said} cannot be") from error
    raw = torch.frombuffer(data, dtype=torch.uint8, count=end - begin, offset=begin)
    return raw.clone().view(dtype).reshape(shape)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], *, private: bool = False) -> None:
    """Write tensors (any device) and metadata; the file appears only when it is complete.

    ``private``: for its owner alone (0600), whatever the umask.

    Raises
    ------
    OSError
        It cannot be written; what was there before stays.
    """
    header: dict[str, Any] = {"__metadata__": {well_formed(key): well_formed(text) for key, text in metadata.items()}}
    parts, offset = [], 0
    for name in sorted(
        tensors, key=lambda k: (-tensors[k].dtype.itemsize, k)
    ):  # largest items first keeps them aligned
        tensor = tensors[name].detach().cpu().contiguous()
        flat = tensor.reshape(-1).view(torch.uint8).numpy()
        header[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + len(flat)],
        }  # fmt: skip
        parts.append(flat)
        offset += len(flat)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path, private=private) as draft, draft.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for flat in parts:
            file.write(flat.data)

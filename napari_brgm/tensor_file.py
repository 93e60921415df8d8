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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TensorFileError", "read_header", "read_tensors", "write_tensors"]

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "U64": torch.uint64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit


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
    data = bytearray(path.read_bytes())
    header, metadata, start = _header(bytes(data[:8]), memoryview(data)[8:], len(data))
    size = len(data) - start
    return {name: _tensor(data, start, size, name, entry) for name, entry in header.items()}, metadata


def read_header(path: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the tensors, and metadata, of a file whose tensors are left unread.

    Raises
    ------
    TensorFileError
        The file is truncated or malformed.
    OSError
        It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        header, metadata, _ = _header(first, file.read(min(_length(first), size)), size)
    return list(header), metadata


def _length(first: bytes) -> int:
    if len(first) < 8:
        raise TensorFileError("the file is shorter than its header")
    return int.from_bytes(first, "little")


def _header(first: bytes, rest: bytes | memoryview, size: int) -> tuple[dict[str, Any], dict[str, str], int]:
    """Entries of the tensors, metadata, and where the data begin, of a file of ``size`` bytes that begins so."""
    length = _length(first)
    if length > min(_LONGEST_HEADER, size - 8):
        raise TensorFileError("the header is longer than the file")
    try:
        header: Any = json.loads(bytes(rest[:length]))
    except (ValueError, RecursionError) as error:
        raise TensorFileError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise TensorFileError("the header is not a table of tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TensorFileError("the metadata is not a table of texts")
    return header, metadata, 8 + length


def _tensor(data: bytearray, start: int, size: int, name: str, entry: Any) -> Tensor:
    try:
        dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise TensorFileError(f"the entry of {name!r} is malformed") from error
    numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise TensorFileError(f"the entry of {name!r} is malformed")
    count = math.prod(shape)
    if not (begin <= end <= size and end - begin == count * dtype.itemsize):
        raise TensorFileError(f"the bytes of {name!r} are not all there")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(data, dtype=torch.uint8, count=end - begin, offset=start + begin)
    return raw.clone().view(dtype).reshape(shape)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors (any device) and metadata; the file appears only when it is complete.

    Raises
    ------
    OSError
        It cannot be written; what was there before stays.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    chunks, offset = [], 0
    for name in sorted(
        tensors, key=lambda k: (-tensors[k].dtype.itemsize, k)
    ):  # largest items first keeps them aligned
        tensor = tensors[name].detach().cpu().contiguous()
        chunk = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + len(chunk)],
        }  # fmt: skip
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *chunks]))
        part.replace(path)
    except OSError:
        if part.exists():
            part.unlink()
        raise

"""Read a published generator from its file, whatever its layout, without running a byte of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.format_pytorch import PYTORCH_NAMES, read_pytorch
from napari_brgm.zoo.format_rosinality import ROSINALITY_NAMES, read_rosinality
from napari_brgm.zoo.format_tensorflow import TENSORFLOW_NAMES, read_tensorflow
from napari_brgm.zoo.inert_pickle import read_pickle
from napari_brgm.zoo.numpy_values import NUMPY_NAMES
from napari_brgm.zoo.torch_archive import read_archive
from napari_brgm.zoo.torch_storage import MAGIC, TensorDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.published import PublishedNetwork

__all__ = ["read_published"]

LARGEST: Final = 4 << 30  # bytes; the file is held in memory
_PICKLED: Final = PYTORCH_NAMES | TENSORFLOW_NAMES | NUMPY_NAMES
_START_OF_ARCHIVE: Final = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")  # the older torch.save
_PAGE: Final = (
    "the file is a web page and not the weights; download it again by its direct link (one of Dropbox ends in dl=1)"
)
_PACKED: Final = "the file is packed; unpack it and import what was in it"
_STAND_INS: Final = {  # first bytes of what often lies where weights should
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"version https://git-lfs": "the file is a git-lfs pointer and not the weights; fetch them with 'git lfs pull'",
    b"\x1f\x8b": _PACKED,
    b"bzh": _PACKED,
    b"\xfd7zxz": _PACKED,
    b"7z\xbc\xaf": _PACKED,
}
_BEGINNING: Final = 256  # bytes that are looked at


def read_published(path: Path) -> PublishedNetwork:
    """Weights and settings of a published StyleGAN2 file.

    Parameters
    ----------
    path : Path
        PyTorch pickle (.pkl), TensorFlow pickle (.pkl) or rosinality checkpoint (.pt); its content tells which.

    Raises
    ------
    WeightsError
        It is none of these, or asks for anything but data, or is damaged; one sentence that begins with its name.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}; give the path of a published weights file")
    try:
        if path.stat().st_size > LARGEST:
            raise WeightsError(f"the file is larger than {LARGEST >> 30} GB; no published generator is")
        with path.open("rb") as file:
            data = bytearray(path.stat().st_size)
            del data[file.readinto(data) :]
        return _recognised(path, data)
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    except (OSError, MemoryError) as error:
        raise WeightsError(f"{path.name} cannot be read; look at its permissions and at the free memory") from error


def _recognised(path: Path, data: bytearray) -> PublishedNetwork:
    view = memoryview(data)
    if data[:2] == b"PK" or data.startswith(_START_OF_ARCHIVE):
        value, decoder = read_archive(path, data, ROSINALITY_NAMES)
        return read_rosinality(value, decoder)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data):
        raise WeightsError("the file is in the safetensors format and needs no conversion; open it by its path")
    if data[:1] != b"\x80":
        begins = bytes(data[:_BEGINNING]).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        for start, sentence in _STAND_INS.items():
            if begins.startswith(start):
                raise WeightsError(sentence)
        raise WeightsError(
            "the file is no StyleGAN2 network; give safetensors, a PyTorch or TensorFlow .pkl, or a rosinality .pt"
        )
    value, end = read_pickle(view, 0, _PICKLED)
    if end != len(data):
        raise WeightsError("the file goes on after its pickle ends; it was refused")
    if isinstance(value, tuple):
        return read_tensorflow(value, len(data))
    return read_pytorch(value, TensorDecoder.over({}, len(data)))  # its storages lie inside the pickle

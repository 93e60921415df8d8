"""Read a published generator from its file, whatever its layout, without running a byte of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.reason import reason_of
from napari_brgm.tensor_file import read_tensors
from napari_brgm.zoo.families import families
from napari_brgm.zoo.format_tensorflow import read_tensorflow
from napari_brgm.zoo.inert_names import INERT_NAMES, NETWORK
from napari_brgm.zoo.inert_pickle import CONVERT, Call, read_pickle
from napari_brgm.zoo.packed_file import only_file, unpacked
from napari_brgm.zoo.state_table import read_entry, read_table
from napari_brgm.zoo.torch_archive import is_archive, read_archive
from napari_brgm.zoo.torch_storage import MAGIC, TensorDecoder, read_legacy
from napari_brgm.zoo.zip_entries import LARGEST, ZipEntries

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.published import PublishedNetwork

__all__ = ["is_bare_table", "read_published"]

_MAGIC: Final = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")  # begins the older torch.save, whatever its protocol
_LONGEST_START: Final = 32  # bytes
_PAGE: Final = (
    "the file is a web page and not the weights; download it again by its direct link (one of Dropbox ends in dl=1)"
)
_PACKED: Final = "the file is packed; unpack it and import what was in it"
_TOO_OLD: Final = f"the file is a pickle of protocol 0 or 1, which are not read here; {CONVERT}"
_STAND_INS: Final = {  # first bytes of what often lies where weights should
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"version https://git-lfs": "the file is a git-lfs pointer and not the weights; fetch them with 'git lfs pull'",
    b"7z\xbc\xaf": _PACKED,
    b"rar!": _PACKED,
    b"\x28\xb5\x2f\xfd": _PACKED,  # zstandard
    b"\x89hdf": f"the file is HDF5, which is not read here; {CONVERT}",
    **dict.fromkeys((b"(dp", b"(lp", b"}q", b"]q", b"cdnnlib", b"ctorch", b"ccollections", b"ccopy_reg"), _TOO_OLD),
}
_BEGINNING: Final = 256  # bytes that are looked at
_TAR: Final = slice(257, 262)


def is_bare_table(metadata: dict[str, str]) -> bool:
    """Whether a safetensors file with this metadata is a state dict only, and in the layout of no family of priors."""
    called = metadata.get("format", "")
    return not any(called and called in family.formats for family in families().values())


def read_published(path: Path) -> PublishedNetwork:
    """Weights and settings of a published StyleGAN2 file.

    Parameters
    ----------
    path : Path
        A pickle (PyTorch modules, TensorFlow networks, tables of tensors), a file of torch.save (the same, old or new
        layout), or a state dict as safetensors; plain, or packed by gzip, bzip2, xz or zip. Its content tells which.

    Raises
    ------
    WeightsError
        It is none of these, or asks for anything but data, or is damaged; one sentence that begins with its name.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}; give the path of a published weights file")
    try:
        if path.stat().st_size > LARGEST:
            raise WeightsError(f"the file is larger than {LARGEST >> 30} GB; no published generator is; {CONVERT}")
        with path.open("rb") as file:
            data = bytearray(path.stat().st_size)
            del data[file.readinto(data) :]
        if _is_safetensors(data):
            del data
            return _table(path)
        return _recognised(unpacked(data))
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    except (OSError, MemoryError) as error:
        raise WeightsError(f"{path.name} cannot be read; look at its permissions and at the free memory") from error


def _is_safetensors(data: bytearray) -> bool:
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)


def _table(path: Path) -> PublishedNetwork:
    """Network of a safetensors file."""
    try:
        tensors, metadata = read_tensors(path)
    except ValueError as error:
        raise WeightsError(f"the safetensors file cannot be read: {reason_of(error)}; get it again") from error
    if not is_bare_table(metadata):
        raise WeightsError("the file is in this package's own format and needs no conversion; open it by its path")
    return read_table(tensors, metadata)


def _recognised(data: bytearray, packed: bool = False) -> PublishedNetwork:
    if data[:2] == b"PK":
        entries = ZipEntries(data)
        if is_archive(entries):
            value, decoder = read_archive(entries, INERT_NAMES)
            return _network(value, decoder, len(data))
        if packed:
            raise WeightsError("the file is packed twice; unpack it once and import what was in it")
        return _recognised(unpacked(only_file(entries)), True)
    if _MAGIC in data[:_LONGEST_START]:
        value, storages = read_legacy(memoryview(data), INERT_NAMES)
        return _network(value, TensorDecoder.over(storages, len(data)), len(data))
    if data[:1] != b"\x80":
        raise WeightsError(_not_weights(data))
    value, end = read_pickle(memoryview(data), 0, INERT_NAMES)
    if end != len(data):
        raise WeightsError("the file goes on after its pickle ends; it was refused")
    return _network(value, TensorDecoder.over({}, len(data)), len(data))  # its storages lie inside the pickle


def _network(value: Any, decoder: TensorDecoder, size: int) -> PublishedNetwork:
    if isinstance(value, tuple) or (isinstance(value, Call) and value.name == NETWORK):
        return read_tensorflow(value, size)
    return read_entry(value, decoder)


def _not_weights(data: bytearray) -> str:
    """What to say of a file that is neither a pickle nor a zip."""
    if _is_safetensors(data):
        return _PACKED
    if data[_TAR] == b"ustar":
        return "the file is a tar archive; unpack it and import the weights in it"
    begins = bytes(data[:_BEGINNING]).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, sentence in _STAND_INS.items():
        if begins.startswith(start):
            return sentence
    return "the file is no StyleGAN2 network; give safetensors, a PyTorch or TensorFlow .pkl, or a .pt of torch.save"

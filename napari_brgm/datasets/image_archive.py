"""A zip or a folder of images: their names in order, their subjects, and their pixels one at a time.

Nothing is written to disk, and what an archive says about itself is checked before it is believed.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_brgm.datasets.image_file import SUFFIXES, Pixels, decode_image
from napari_brgm.errors import ScanError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ImageArchive", "natural_order", "subject_depth", "subjects_of"]

_LARGEST_FILE = 1 << 28  # bytes of one image, unpacked
_ENCRYPTED = 0x1


class ImageArchive:
    """Images in a zip or below a folder; a context manager.

    Files that are hidden or have another suffix than png, jpg, jpeg, tif, tiff are passed over.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    names : tuple of str
        Paths below the root with forward slashes, numbers in their numeric order.

    Raises
    ------
    ScanError
        There is nothing at the path, or it is neither a folder nor a zip that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._entries: dict[str, zipfile.ZipInfo] = {}
        if path.is_dir():
            files = [file.relative_to(path).as_posix() for file in _files(path)]
        else:
            self._zip = _opened(path)
            self._entries = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
            files = list(self._entries)
        self.names = tuple(sorted((name for name in files if _is_image(name)), key=natural_order))

    def __enter__(self) -> ImageArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._zip is not None:
            self._zip.close()

    def pixels(self, name: str) -> Pixels:
        """Decode one image of ``names``: (H, W) or (H, W, 3), uint8 or uint16.

        Raises
        ------
        ScanError
            It is encrypted, unpacks to more than 256 MB, or cannot be decoded.
        """
        return decode_image(self._bytes(name), name)

    def fingerprint(self, name: str) -> tuple[str, int, int]:
        """Name, size and checksum of one image; of a file in a folder, its time stamp (ns) instead."""
        if self._zip is not None:
            info = self._entries[name]
            return name, info.file_size, info.CRC
        status = (self.path / name).stat()
        return name, status.st_size, status.st_mtime_ns

    def _bytes(self, name: str) -> bytes:
        info = self._entries.get(name)
        size = info.file_size if info is not None else (self.path / name).stat().st_size
        if size > _LARGEST_FILE:
            raise ScanError(f"{name} unpacks to {size / 1e6:.0f} MB; an image may have {_LARGEST_FILE / 1e6:.0f} MB")
        if self._zip is None or info is None:
            try:
                return (self.path / name).read_bytes()
            except OSError as error:
                raise ScanError(f"{name} cannot be read: {reason_of(error)}; check its permissions") from error
        if info.flag_bits & _ENCRYPTED:
            raise ScanError(f"{name} in {self.path.name} is encrypted; unpack the archive with its password first")
        try:
            with self._zip.open(info) as stream:
                return stream.read(size)  # no more than it declares, however much it would unpack to
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
            reason = reason_of(error)
            raise ScanError(
                f"{name} in {self.path.name} cannot be unpacked: {reason}; copy the archive again"
            ) from error


def natural_order(name: str) -> tuple[Any, ...]:
    """Sort key by which slice-2 comes before slice-10."""
    parts = re.split(r"([0-9]+)", name)
    return (*((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)), (-1, name))


def subjects_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Subject of each image: the first folder below the root, else the name of the file without suffix.

    A folder that only wraps folders (an archive packed one level too high) is no subject.

    Examples
    --------
    >>> subjects_of(("a/1.png", "a/2.png", "b/1.png"))
    ('a', 'a', 'b')
    >>> subjects_of(("set/a/1.png", "set/b/1.png"))
    ('a', 'b')
    >>> subjects_of(("1.png", "2.png"))
    ('1', '2')
    """
    depth = subject_depth(names)
    paths = [PurePosixPath(name).parts[depth:] for name in names]
    return tuple(parts[0] if len(parts) > 1 else parts[0].rsplit(".", 1)[0] for parts in paths)


def subject_depth(names: tuple[str, ...]) -> int:
    """Number of folders that all these paths share and that hold only folders."""
    paths = [PurePosixPath(name).parts for name in names]
    depth = 0
    while paths and len({parts[depth] for parts in paths}) == 1 and all(len(parts) > depth + 2 for parts in paths):
        depth += 1
    return depth


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ScanError(f"{path} does not exist; check the path") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise ScanError(f"{path} is not a readable zip archive; copy it again") from error


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.rglob("*") if file.is_file()]
    except OSError as error:
        raise ScanError(
            f"the folder {folder.name} cannot be listed: {reason_of(error)}; check its permissions"
        ) from error


def _is_image(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return bool(parts) and not hidden and parts[-1].rsplit(".", 1)[-1].lower() in SUFFIXES

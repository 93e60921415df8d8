"""cached: slices read once, then taken from a pair of plain files, so that a resumed run does not decode again.

    slices-<key>.npy     images (N, C, R, R), NumPy's format without objects
    slices-<key>.json    everything else, and the checksum of the images; written last, it vouches for them

The key is a digest of the arguments and of the source's file names, sizes and checksums (time stamps for folders).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.datasets.image_archive import ImageArchive
from napari_brgm.datasets.read import holds_images, read_slices
from napari_brgm.datasets.slice_set import SliceSet
from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.scan import Plane

__all__ = ["cached"]

_VERSION = 1  # of the reading; another one makes old files useless


def cached(
    source: Path,
    framing: Framing,
    folder: Path,
    *,
    pixel_mm: float | tuple[float, float] | None = None,
    plane: Plane = "axial",
    slices: tuple[int, int] | None = None,
    stride: int = 1,
    deblock: bool = False,
) -> SliceSet:
    """Read slices as ``read_slices`` does, or take them from ``folder`` if they were read before.

    Parameters
    ----------
    source, framing, pixel_mm, plane, slices, stride, deblock
        As for ``read_slices``.
    folder : Path
        Made if missing.

    Raises
    ------
    ScanError, InputError
        As ``read_slices``.
    OutputError
        The folder cannot be written to.
    """
    way = [asdict(framing), pixel_mm, plane, slices, stride, *(["deblocked"] if deblock else [])]
    key = _key(source, way)
    images, record = folder / f"slices-{key}.npy", folder / f"slices-{key}.json"
    found = _load(images, record, framing)
    if found is not None:
        return found
    made = read_slices(source, framing, pixel_mm=pixel_mm, plane=plane, slices=slices, stride=stride, deblock=deblock)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _save(made, images, record)
    except OSError as error:
        raise OutputError(f"cannot keep the slices in {folder}: {reason_of(error)}; choose another folder") from error
    return made


def _key(source: Path, arguments: list[Any]) -> str:
    files: list[Any]
    if holds_images(source):
        with ImageArchive(source) as archive:
            files = [archive.fingerprint(name) for name in archive.names]
    else:
        inside = sorted(file for file in source.rglob("*") if file.is_file()) if source.is_dir() else [source]
        files = [(str(f.relative_to(source)), f.stat().st_size, f.stat().st_mtime_ns) for f in inside]
    text = json.dumps([_VERSION, source.name, arguments, files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _save(made: SliceSet, images: Path, record: Path) -> None:
    record.unlink(missing_ok=True)
    with whole_file(images) as draft, draft.open("wb") as stream:
        np.save(stream, made.images, allow_pickle=False)
    content = {
        "images": _checksum(made), "subjects": made.subjects.tolist(), "names": made.names,
        "subject_names": made.subject_names, "levels": made.levels, "windows": made.windows, "notes": made.notes,
    }  # fmt: skip
    with whole_file(record) as draft:
        draft.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _load(images: Path, record: Path, framing: Framing) -> SliceSet | None:
    """The slices, or None if they were not kept, or not kept whole."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        with images.open("rb") as stream:
            found = SliceSet(
                np.load(stream, allow_pickle=False), np.array(content["subjects"], np.int64), tuple(content["names"]),
                tuple(content["subject_names"]), framing, content["levels"],
                tuple((str(name), float(low), float(high)) for name, low, high in content["windows"]),
                tuple(content["notes"]),
            )  # fmt: skip
    except (OSError, EOFError, ValueError, KeyError, TypeError):  # InputError is a ValueError
        return None
    return found if _checksum(found) == content["images"] else None


def _checksum(made: SliceSet) -> int:
    return zlib.crc32(np.ascontiguousarray(made.images).data)

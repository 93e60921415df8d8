"""NIfTI: single files and pairs, packed or not, of either version and byte order, some with our record beside them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from fuzzing.damage import FLOATS, NUMBERS, Files, Kind, Sample, damaged, often

from napari_brgm.scans import read_scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

__all__ = ["NIFTI"]

_AFFINE = np.array([[-1.5, 0.1, 0, 10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
_FIRST = {  # offset, how many, letter: NIfTI-1
    "sizeof_hdr": (0, 1, "i"), "dim": (40, 8, "h"), "intent_code": (68, 1, "h"), "datatype": (70, 1, "h"),
    "bitpix": (72, 1, "h"), "pixdim": (76, 8, "f"), "vox_offset": (108, 1, "f"), "scl": (112, 2, "f"),
    "slice_end": (120, 1, "h"), "xyzt_units": (123, 1, "b"), "codes": (252, 2, "h"), "quaternion": (256, 6, "f"),
    "srow": (280, 12, "f"), "magic": (344, 4, "b"), "extension": (348, 4, "b"), "esize": (352, 2, "i"),
}  # fmt: skip
_SECOND = {
    "sizeof_hdr": (0, 1, "i"), "magic": (4, 8, "b"), "datatype": (12, 1, "h"), "bitpix": (14, 1, "h"),
    "dim": (16, 8, "q"), "pixdim": (104, 8, "d"), "vox_offset": (168, 1, "q"), "scl": (176, 2, "d"),
    "codes": (344, 2, "i"), "quaternion": (352, 6, "d"), "srow": (400, 12, "d"), "xyzt_units": (500, 1, "i"),
    "extension": (540, 4, "b"), "esize": (544, 2, "i"),
}  # fmt: skip
_TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
_RARELY = ("sizeof_hdr", "magic", "extension", "esize", "slice_end", "intent_code")  # most others end there
_GZIP = b"\x1f\x8b"


def _samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    volume = rng.integers(-900, 900, (9, 8, 5))

    def content(array: Any, kind: type = nib.Nifti1Image, dtype: str = "<i2", **fields: Any) -> bytes:
        image = kind(array.astype(dtype[1:]), _AFFINE, dtype=np.dtype(dtype[1:]))
        header = image.header.as_byteswapped(dtype[0]) if dtype[0] != "<" else image.header
        for name, value in fields.items():
            header[name] = value
        file = io.BytesIO()
        kind(image.dataobj, _AFFINE, header).to_stream(file)
        return file.getvalue()

    plain = content(volume)
    single = {
        "int16": plain, "uint8": content(volume % 256, dtype="<u1"), "float32": content(volume / 7, dtype="<f4"),
        "float64": content(volume / 7, dtype="<f8"), "int64": content(volume.astype(int) << 40, dtype="<i8"),
        "uint32": content(volume + 2**31, dtype="<u4"), "big": content(volume, dtype=">i2"),
        "times": content(rng.integers(0, 99, (6, 5, 4, 3))), "slice": content(volume[..., 0]),
        "scaled": content(volume, scl_slope=0.37, scl_inter=-100), "qform": content(volume, sform_code=0, qform_code=1),
        "second": content(volume, nib.Nifti2Image), "second-big": content(volume, nib.Nifti2Image, ">f4"),
        "complex": content(volume, dtype="<c8"),
    }  # fmt: skip
    found = [Sample(name, {"scan.nii": data}, "scan.nii") for name, data in single.items()]
    found += [
        Sample(f"{name}-gz", {"scan.nii.gz": gzip.compress(single[name], mtime=0)}, "scan.nii.gz")
        for name in ("int16", "float32", "times", "scaled", "second")
    ]
    record = {"software": {"name": "napari-brgm", "version": "0"}, "task": "in-paint", "role": "restored",
              "notice": "Synthetic.", "Units": "HU", "settings": {"steps": 3}}  # fmt: skip
    found.append(Sample("record", {"scan.nii": plain, "scan.json": json.dumps(record, indent=2).encode()}, "scan.nii"))
    pair = nib.Nifti1Pair(volume.astype(np.int16), _AFFINE)
    halves = {half: io.BytesIO() for half in ("header", "image")}
    pair.to_file_map({half: nib.FileHolder(fileobj=stream) for half, stream in halves.items()})
    head, voxels = (stream.getvalue() for stream in halves.values())
    found += [Sample("pair", {"scan.hdr": head, "scan.img": voxels}, "scan.hdr"),
              Sample("pair-img", {"scan.hdr": head, "scan.img": voxels}, "scan.img"),
              Sample("pair-gz", {"scan.hdr.gz": gzip.compress(head, mtime=0),
                                 "scan.img.gz": gzip.compress(voxels, mtime=0)}, "scan.img.gz")]  # fmt: skip
    return found


@cache
def _zeros() -> bytes:
    """A gzip member of 64 MB of zeros."""
    return gzip.compress(bytes(1 << 26), mtime=0)


def _mutated(sample: Sample, samples: Sequence[Sample], random: Random) -> Files:
    files = dict(sample.files)
    name = random.choice(list(files))
    if len(files) > 1 and random.random() < 0.05:  # half of a pair, or halves of two
        del files[name]
        return files
    others = [data for other in samples for data in other.files.values()]
    data = files[name]
    if data[:2] == _GZIP and random.random() < 0.75:
        inner = zlib.decompress(data, 16 + zlib.MAX_WBITS)
        data = gzip.compress(_changed(inner, random, others), mtime=0)
        if random.random() < 0.1:
            data += _zeros() * random.choice((1, 20))
    else:
        data = _changed(data, random, others)
        if random.random() < 0.05:
            data = gzip.compress(data, mtime=0)
    return files | {name: data}


def _changed(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    for _ in range(often(random)):
        data = _field(data, random) if random.random() < 0.7 else damaged(data, random, others)
    return data


def _field(data: bytes, random: Random) -> bytes:
    """Another value in a field of the header."""
    order = "<" if data[:1] in (b"\x5c", b"\x1c") else ">"
    fields = _SECOND if b"\x1c" in data[:4:3] else _FIRST
    rare = random.random() < 0.1
    at, count, letter = random.choice([place for name, place in fields.items() if (name in _RARELY) == rare])
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, count))):
        size = struct.calcsize(f"={letter}")
        place = at + size * random.randrange(count)
        if place + size > len(out):
            break
        if letter in "fd":
            value: float = random.choice((*FLOATS, random.uniform(-2, 2), float(random.choice(NUMBERS))))
            if letter == "f" and abs(value) > 3.4e38:
                value = float("inf")
        else:
            value = random.choice((*NUMBERS, *_TYPES, -1, -2, random.randrange(8)))
            half = 1 << (8 * size - 1)
            value = (value + half) % (2 * half) - half
        struct.pack_into(f"{order}{letter}", out, place, value)
    return bytes(out)


def _read(path: Path) -> int:
    return sum(scan.array.nbytes for scan in read_scan(path))


NIFTI = Kind(_samples, _mutated, _read)

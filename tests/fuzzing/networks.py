"""Published networks: pickles, torch archives and what packs them, as an import reads them; hostile ones among them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import warnings
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from fuzzing.damage import Files, Kind, Sample, damaged, often, packed_number
from zoo import hostile, mutations, published

from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from random import Random

__all__ = ["NETWORKS"]

_FILE = "network.pkl"
_LARGEST = 1 << 20  # bytes of a hostile file: larger ones are tests of their own
_FIELDS = {  # offset and width: end of central directory, entry of the central directory, local header
    b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
}


def _samples() -> list[Sample]:
    tiny, larger = (published.random_weights(side, layers=1) for side in (4, 8))
    made: dict[str, Callable[[], bytes]] = {
        "pytorch": lambda: published.pytorch_pickle(tiny),
        "pytorch-2": lambda: published.pytorch_pickle(tiny, protocol=2),
        "pytorch-flat": lambda: published.pytorch_pickle(tiny, flat=True, protocol=3),
        "pytorch-archive": lambda: published.pytorch_pickle(tiny, dumps=published.saved),
        "tensorflow": lambda: published.tensorflow_pickle(tiny),
        "tensorflow-5": lambda: published.tensorflow_pickle(tiny, protocol=5),
        "tensorflow-scoped": lambda: published.tensorflow_pickle(larger, scoped=True),
        "rosinality": lambda: published.rosinality_pt(tiny), "rosinality-8": lambda: published.rosinality_pt(larger),
        "rosinality-older": lambda: published.rosinality_pt(tiny, zipped=False),
        "rosinality-module": lambda: published.rosinality_module(tiny),
        "table": lambda: published.saved({"G_ema": tiny, "conv_clamp": 256}),
        "older": lambda: published.saved_older(larger, 4),
    }  # fmt: skip
    found = {}
    for name, make in made.items():
        with _numbered_storages():
            found[name] = make()
    around = io.BytesIO()
    with zipfile.ZipFile(around, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("net.pkl"), found["tensorflow"])
    found |= {
        "gzip": gzip.compress(found["pytorch"], mtime=0), "xz": lzma.compress(found["rosinality"]),
        "bzip2": bz2.compress(found["tensorflow"]), "zip": around.getvalue(),
        "deflated": hostile.recompressed(found["table"], _undated, zipfile.ZIP_DEFLATED),
    }  # fmt: skip
    traps = hostile.calls("true") | hostile.requests() | hostile.bombs()
    found |= {f"hostile: {name}": data for name, data in traps.items() if len(data) < _LARGEST}
    return [Sample(name, {_FILE: data}, _FILE) for name, data in found.items()]


@contextmanager
def _numbered_storages() -> Iterator[None]:
    """Older torch files call storages by their places in memory: here by numbers, so that all runs have the same."""
    place, numbers = torch.UntypedStorage._cdata, {}
    torch.UntypedStorage._cdata = property(
        lambda storage: 10**8 + numbers.setdefault(place.__get__(storage), len(numbers))
    )
    try:
        yield
    finally:
        del torch.UntypedStorage._cdata


def _undated(name: str, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, content


def _mutated(sample: Sample, samples: Sequence[Sample], random: Random) -> Files:
    if sample.name.startswith("hostile") and random.random() < 0.7:  # they are many
        sample = random.choice([other for other in samples if not other.name.startswith("hostile")])
    others = [other.files[_FILE] for other in samples if other.size < 1 << 16]
    data = sample.files[_FILE]
    for _ in range(1 if random.random() < 0.7 else often(random)):
        data = _once(data, others, random)
    pack = random.randrange(40)
    if pack < 3:
        data = (gzip.compress, bz2.compress, lzma.compress)[pack](data)
    return {_FILE: data}


def _once(data: bytes, others: list[bytes], random: Random) -> bytes:
    if data[:2] == b"PK" and random.random() < 0.4:
        return _directory(data, random)
    if random.random() < 0.15:
        return damaged(data, random, others)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that a zip has twice
        try:
            return mutations.mutate(data, others, random)
        except (zipfile.BadZipFile, ValueError, IndexError, NotImplementedError, EOFError, OSError, struct.error):
            return damaged(data, random, others)  # of a zip that is one no more


def _directory(data: bytes, random: Random) -> bytes:
    """Numbers in the directory of a zip, or in the headers of its entries."""
    mark = random.choice(list(_FIELDS))
    places, at = [], data.find(mark)
    while at >= 0:
        places.append(at)
        at = data.find(mark, at + 4)
    if not places:
        return damaged(data, random)
    out = bytearray(data)
    offset, width = random.choice(_FIELDS[mark])
    place = random.choice(places) + offset
    number = int.from_bytes(data[place : place + width], "little") + random.choice((-1, 1, -4, 4, 64))
    near = (number % (1 << 8 * width)).to_bytes(width, "little")
    out[place : place + width] = near if random.random() < 0.4 else packed_number(random, width)
    return bytes(out)


def _read(path: Path) -> int:
    """Import, load and draw."""
    import_file(path, "imported")
    return 4 * load_prior("imported").sample(1, seed=0).numel()


NETWORKS = Kind(_samples, _mutated, _read)

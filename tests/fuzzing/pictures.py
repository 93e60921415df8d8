"""Pictures: PNG, JPEG and TIFF of all the ways of storing that are read, and some that are refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from fuzzing.damage import Files, Kind, Sample, damaged, often, packed_number
from PIL import Image

from napari_brgm.scans.picture import read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

__all__ = ["PICTURES"]

_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of TIFF's
_TAGS = (254, 256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 282, 284, 296, 317, 320, 322, 323, 324, 325, 330,
         338, 339, 347, 34675)  # fmt: skip
_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fdAT")


def _samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (21, 17), dtype=np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (21, 17, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (21, 17)).astype(np.uint16))
    real = Image.fromarray(rng.normal(size=(21, 17)).astype(np.float32))
    alpha = Image.merge("RGBA", (*colour.split(), grey))
    palette = colour.quantize(16)
    turned = Image.Exif()
    turned[274], turned[305] = 6, "a camera"

    def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    flat = Image.fromarray(np.zeros((300, 400), np.uint8))
    found = {
        "png": saved(grey, "PNG"), "png-colour": saved(colour, "PNG"), "png-16": saved(deep, "PNG"),
        "png-alpha": saved(alpha, "PNG"), "png-palette": saved(palette, "PNG", transparency=3),
        "png-bits": saved(grey.convert("1"), "PNG"), "png-flat": saved(flat, "PNG"),
        "png-grey-alpha": saved(grey.convert("LA"), "PNG", exif=turned),
        "jpeg": saved(grey, "JPEG"), "jpeg-colour": saved(colour, "JPEG", exif=turned),
        "jpeg-progressive": saved(colour, "JPEG", progressive=True, icc_profile=bytes(200)),
        "jpeg-flat": saved(flat, "JPEG"), "jpeg-inks": saved(colour.convert("CMYK"), "JPEG"),
        "tiff": saved(grey, "TIFF"), "tiff-colour": saved(colour, "TIFF", tiffinfo={274: 8}),
        "tiff-16": saved(deep, "TIFF"), "tiff-real": saved(real, "TIFF"), "tiff-32": saved(deep.convert("I"), "TIFF"),
        "tiff-big": saved(grey, "TIFF", big_tiff=True), "tiff-palette": saved(palette, "TIFF"),
        "tiff-pages": saved(grey, "TIFF", save_all=True, append_images=[grey]),
        "png-pages": saved(grey, "PNG", save_all=True, append_images=[colour.convert("L")]),
    }  # fmt: skip
    for way in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "group4", "zstd"):
        image = grey.convert("1") if way == "group4" else colour if way == "jpeg" else grey
        found[f"tiff-{way}"] = saved(image, "TIFF", compression=way)
    found["tiff-lzw-16"] = saved(deep, "TIFF", compression="tiff_lzw")
    return [Sample(name, {"picture": data}, "picture") for name, data in found.items()]


def _mutated(sample: Sample, samples: Sequence[Sample], random: Random) -> Files:
    others = [other.files["picture"] for other in samples]
    data = sample.files["picture"]
    for _ in range(often(random)):
        if random.random() < 0.3:
            data = damaged(data, random, others)
        elif data[:4] == b"\x89PNG":
            data = _png(data, random)
        elif data[:2] == b"\xff\xd8":
            data = _jpeg(data, random)
        elif data[:2] in (b"II", b"MM"):
            data = _tiff(data, random)
    return {"picture": data}


def _png(data: bytes, random: Random) -> bytes:
    """Chunks edited, their sums made right again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    if not chunks:
        return damaged(data, random)
    index = random.randrange(len(chunks))
    kind, content = chunks[index]
    match random.randrange(9):
        case 0:
            del chunks[index]
        case 1:
            chunks[index:index] = [chunks[index]] * random.choice((1, 2, 500))
        case 2:
            chunks[index] = [random.choice(_CHUNKS), content]
        case 3:
            chunks.insert(index, [random.choice(_CHUNKS), random.randbytes(random.choice((0, 1, 13, 100)))])
        case 4 if kind == b"IDAT":
            raw = random.choice((bytes(1 << 24), random.randbytes(1000), b""))
            chunks[index] = [kind, zlib.compress(raw)]
        case 4 | 5 | 6 if chunks[0][0] == b"IHDR" and len(chunks[0][1]) >= 13:
            head = bytearray(chunks[0][1])
            place = random.choice((0, 4, 8, 9, 10, 11, 12))
            width = 4 if place < 8 else 1
            head[place : place + width] = packed_number(random, width, ">") if width == 4 else bytes(
                [random.choice((0, 1, 2, 3, 4, 6, 8, 16, 32, 255))]
            )  # fmt: skip
            chunks[0] = [b"IHDR", bytes(head)]
        case 7:
            chunks.insert(1, [random.choice((b"zTXt", b"iCCP")), b"a\0\0" + zlib.compress(bytes(1 << 24))])
        case _:
            chunks[index] = [kind, damaged(content, random)]
    whole = [len(c).to_bytes(4, "big") + k + c + zlib.crc32(k + c).to_bytes(4, "big") for k, c in chunks]
    return data[:8] + b"".join(whole)


def _jpeg(data: bytes, random: Random) -> bytes:
    """Segments edited: dropped, repeated, renamed, with other lengths and sizes."""
    places, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        places.append((at, at + 2 + length))
        if data[at + 1] == 0xDA:
            break
        at += 2 + length
    if not places:
        return damaged(data, random)
    begin, end = random.choice(places)
    out = bytearray(data)
    match random.randrange(6):
        case 0:
            del out[begin:end]
        case 1:
            out[begin:begin] = out[begin:end] * random.choice((1, 2, 200))
        case 2:
            out[begin + 1] = random.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE))
        case 3:
            out[begin + 2 : begin + 4] = packed_number(random, 2, ">")
        case 4:
            frames = [b for b, _ in places if 0xC0 <= data[b + 1] <= 0xC2]
            if frames:
                place = frames[0] + random.choice((4, 5, 7, 9, 10, 11, 12))
                width = 2 if place - frames[0] in (5, 7) else 1
                out[place : place + width] = packed_number(random, width, ">")
        case _:
            out[begin + 4 : end] = damaged(data[begin + 4 : end], random)
    return bytes(out)


def _tiff(data: bytes, random: Random) -> bytes:
    """An entry of the directory edited: its tag, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    out = bytearray(data)
    try:
        (first,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, first)
        entry = first + (8 if big else 2) + (20 if big else 12) * random.randrange(max(min(count, 100), 1))
        kind = struct.unpack_from(f"{order}H", data, entry + 2)[0]
        match random.randrange(7):
            case 0:
                struct.pack_into(f"{order}H", out, entry, random.choice(_TAGS))
            case 1:
                struct.pack_into(f"{order}H", out, entry + 2, random.choice((0, *_TYPES, 13, 16, 255)))
            case 2:
                out[entry + 4 : entry + 8] = packed_number(random, 4, order)
            case 3:
                out[first : first + 2] = packed_number(random, 2, order)
            case _:
                width = 8 if big else 4
                place = entry + (12 if big else 8)
                out[place : place + width] = packed_number(random, min(_TYPES.get(kind, 4), width), order).ljust(
                    width, b"\0"
                )
    except (struct.error, OverflowError):
        return damaged(data, random)
    return bytes(out)


def _read(path: Path) -> int:
    return read_picture(path).pixels.nbytes


PICTURES = Kind(_samples, _mutated, _read)

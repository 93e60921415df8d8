"""DICOM: files and folders in every encoding; their elements edited one by one, also in what is deflated or gzipped."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuzzing.damage import FLOATS, NUMBERS, TEXTS, Files, Kind, Sample, damaged, often, packed_number
from fuzzing.dicom_samples import samples as _samples

from napari_brgm.scans import read_scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

__all__ = ["DICOM"]

_LONG: Final = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
_NUMERIC: Final = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d", b"AT": "HH"}
_VRS: Final = (*_LONG, *_NUMERIC, b"CS", b"DS", b"IS", b"LO", b"PN", b"UI", b"DA", b"TM", b"DT", b"SH", b"LT", b"XX",
               b"\0\0")  # fmt: skip
_UNDEFINED: Final = 0xFFFFFFFF
_MOST: Final = 4000  # elements that are looked at
_RATHER: Final = (0x0018, 0x0020, 0x0028, 0x5200, 0x7FE0)  # groups that say what the image is
_PIXELS: Final = (0x7FE0, 0x0010)
_SYNTAXES: Final = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.57", b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.81", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.91",
    b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.99",
)  # fmt: skip
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99\0\0"[:22]
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class _Element:
    tag: tuple[int, int]
    vr: bytes  # b"" where it is implicit
    start: int
    length_at: int
    width: int  # bytes of the length
    value: int
    end: int


def _elements(data: bytes) -> list[_Element]:
    """Elements at all depths in their order, as far as they can be followed."""
    found: list[_Element] = []
    at = 132 if data[128:132] == b"DICM" else 0
    implicit, order = False, "<"
    if at:
        at = _walked(data, at, False, "<", found, group=2)
        syntax = next((data[e.value : e.end].rstrip(b"\0 ") for e in found if e.tag == (2, 0x10)), b"")
        implicit, order = syntax == b"1.2.840.10008.1.2", ">" if syntax == b"1.2.840.10008.1.2.2" else "<"
    else:
        implicit = not data[4:6].isalpha()
        order = ">" if data[:1] == b"\0" else "<"
    _walked(data, at, implicit, order, found)
    return found


def _walked(data: bytes, at: int, implicit: bool, order: str, found: list[_Element], group: int | None = None) -> int:
    while at + 8 <= len(data) and len(found) < _MOST:
        tag = struct.unpack_from(f"{order}HH", data, at)
        if group is not None and tag[0] != group:
            break
        vr, width, place = b"", 4, at + 4
        if not implicit and tag[0] != 0xFFFE:
            vr = data[at + 4 : at + 6]
            width, place = (4, at + 8) if vr in _LONG else (2, at + 6)
        if place + width > len(data):
            break
        length = int.from_bytes(data[place : place + width], "little" if order == "<" else "big")
        inside = vr == b"SQ" or length == _UNDEFINED or (tag[0] == 0xFFFE and found and found[-1].tag != _PIXELS)
        value = place + width
        end = value if inside else min(value + length, len(data))
        found.append(_Element((tag[0], tag[1]), vr, at, place, width, value, end))
        at = end
    return at


def _mutated(sample: Sample, samples: Sequence[Sample], random: Random) -> Files:
    files = dict(sample.files)
    names = list(files)
    if len(files) > 1 and random.random() < 0.1:
        name, other = random.choice(names), random.choice(names)
        match random.randrange(3):
            case 0:
                del files[name]
            case 1:
                files["copy"] = files[name]
            case _:
                files[name] = files[other]
        return files
    others = [data for other in samples for data in other.files.values()]
    for name in random.sample(names, random.choice((1, 1, 2, len(names))) % (len(names) + 1) or 1):
        files[name] = _packed_too(files[name], others, random)
    return files


def _packed_too(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """A mutant of a file; of a packed one mostly of its content."""
    if random.random() < 0.2:
        return damaged(data, random, others)
    if data[:2] == _GZIP:
        inner = _changed(zlib.decompress(data, 16 + zlib.MAX_WBITS), others, random)
        return gzip.compress(inner, mtime=0) + random.choice((b"", b"", b"", gzip.compress(bytes(1 << 24), mtime=0)))
    place = data.find(_DEFLATED, 0, 1000)
    if place > 0:
        meta = [element for element in _elements(data[:1000]) if element.tag[0] == 2][-1].end
        machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        head, body = data[:meta], zlib.decompress(data[meta:], -zlib.MAX_WBITS)
        plain = head.replace(_DEFLATED, b"1.2.840.10008.1.2.1\0\0\0")  # so that its elements are found
        inner = _changed(plain + body, others, random)[meta:]
        if random.random() < 0.05:
            inner += bytes(1 << 26)
        return head + machine.compress(inner) + machine.flush()
    return _changed(data, others, random)


def _changed(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    for _ in range(often(random)):
        data = _edited(data, others, random)
    return data


def _edited(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One element dropped, repeated, moved, renamed, with another length, type or value; or one of another file."""
    found = _elements(data)
    rather = [element for element in found if element.tag[0] in _RATHER]
    places = rather if rather and random.random() < 0.7 else found
    if not places:
        return damaged(data, random, others)
    one, other = random.choice(places), random.choice(found)
    out = bytearray(data)
    match random.randrange(16):
        case 0:
            out[one.length_at : one.value] = packed_number(random, one.width)
        case 1:
            near = (one.end - one.value + random.choice((-2, -1, 1, 2, 8))) % (1 << 8 * one.width)
            out[one.length_at : one.value] = near.to_bytes(one.width, "little")
        case 2:
            del out[one.start : one.end]
        case 3:
            out[one.end : one.end] = out[one.start : one.end] * random.choice((1, 1, 2, 300))
        case 4:
            out[other.start : other.start] = data[one.start : one.end]
        case 5 if one.vr:
            out[one.start + 4 : one.start + 6] = random.choice(_VRS)
        case 6:
            out[one.start : one.start + 4] = data[other.start : other.start + 4]
        case 7:
            whole = random.choice(others)
            theirs = _elements(whole)
            if theirs:
                piece = random.choice(theirs)
                out[one.start : one.start] = whole[piece.start : piece.end]
        case 8:
            out[one.value : one.end] = damaged(data[one.value : one.end], random)[: one.end - one.value]
        case 9:
            syntax = next((e for e in found if e.tag == (2, 0x10)), one)
            _put(out, syntax, random.choice(_SYNTAXES))
        case 10 if found[-1].end - found[-1].value > 64:  # compressed fragments and pixels
            last = random.choice(found[-4:])
            out[last.value : last.end] = damaged(data[last.value : last.end], random, others)
        case _:
            _put(out, one, _value(one, data, random))
    return bytes(out)


def _value(element: _Element, data: bytes, random: Random) -> bytes:
    """Another value of the same type."""
    letters = _NUMERIC.get(element.vr)
    count = random.choice((1, 1, 1, 2, 3, 6, 16))
    if letters is None:
        if random.random() < 0.3:  # one of several numbers or words
            words = data[element.value : element.end].split(b"\\")
            words[random.randrange(len(words))] = random.choice((*TEXTS, b"%.9g" % random.uniform(-500, 500)))
            return b"\\".join(words)
        return random.choice((*TEXTS, b"%d" % random.choice(NUMBERS), b"%g" % random.choice(FLOATS)))
    if letters in "fd":
        values = [random.choice((*FLOATS, random.uniform(-500, 500))) for _ in range(count)]
        return struct.pack(f"<{count}{letters}", *(v if letters == "d" or abs(v) < 3.4e38 else 0.0 for v in values))
    return b"".join(packed_number(random, struct.calcsize(f"={letters}")) for _ in range(count))


def _put(out: bytearray, element: _Element, value: bytes) -> None:
    """Another value in place of the old one, its length made right."""
    value += b"\0" * (len(value) % 2) if element.vr == b"UI" else b" " * (len(value) % 2)
    out[element.value : element.end] = value
    out[element.length_at : element.value] = (len(value) % (1 << 8 * element.width)).to_bytes(element.width, "little")


def _read(path: Path) -> int:
    return sum(scan.array.nbytes for scan in read_scan(path))


DICOM = Kind(_samples, _mutated, _read)

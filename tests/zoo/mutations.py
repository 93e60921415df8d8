"""A seeded mutator of published files: of their bytes, and of what lies inside zips under sums."""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

OPCODES = [ord(op.code) for op in pickletools.opcodes]
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]
FRAGMENTS = [
    b"cos\nsystem\nX\x04\x00\x00\x00true\x85R", b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R",
    b"(X\x04\x00\x00\x00trueios\nsystem\n", b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R",
    *(bytes([code]) for code in b"012ldN.()]}bR\x81\x94\x85"), b"}b", b"\x8e" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f",
    b"r\xff\xff\xff\xff", b"\x82\x01", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"nan", b"O8", b"|O", b"V9",
    b"synthesis.input", b"L0_36", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
]  # fmt: skip


def operations(data: bytes) -> list[int]:
    """Where the instructions of the pickles in ``data`` begin, as far as they can be followed."""
    file, found = io.BytesIO(data), []
    try:
        while file.tell() < len(data):
            found += [at for _, _, at in pickletools.genops(file)]
    except Exception:
        pass
    return found


def mutate(data: bytes, others: list[bytes], random: Random) -> bytes:
    """One mutant; of a zip, mostly with its sums made right again."""
    if data[:2] == b"PK" and random.random() < 0.8:
        return _inside_zip(data, others, random)
    out = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4, 8])):
        _change(out, others, random)
    return bytes(out)


def _change(out: bytearray, others: list[bytes], random: Random) -> None:
    at = random.randrange(len(out)) if out else 0
    span = random.choice([1, 2, 4, 8, 16, 64, 256])
    match random.randrange(10):
        case 0 | 1:
            if out:
                out[at] ^= 1 << random.randrange(8)
        case 2:
            del out[at:]
        case 3:
            del out[at : at + span]
        case 4:
            out[at:at] = out[at : at + span] * random.choice([1, 1, 2, 50])
        case 5:
            out[at : at + random.choice([0, span])] = random.choice(FRAGMENTS)
        case 6:
            other = random.choice(others)
            begin = random.randrange(len(other))
            out[at : at + random.choice([0, span])] = other[begin : begin + random.choice([span, len(other)])]
        case 7:
            number = random.choice(NUMBERS)
            width = random.choice([1, 2, 4, 8])
            out[at : at + width] = struct.pack("<Q", number)[:width]
        case 8 | 9:
            places = operations(bytes(out[:6_000]))
            if places:
                at = random.choice(places)
                replaced = random.random() < 0.5
                out[at : at + replaced] = (
                    bytes([random.choice(OPCODES)]) if random.random() < 0.6 else random.choice(FRAGMENTS)
                )


def _inside_zip(data: bytes, others: list[bytes], random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        entries = [[entry.filename, old.read(entry)] for entry in old.infolist()]
    pickles = [e for e in entries if e[0].endswith("data.pkl")]
    entry = random.choice(pickles if random.random() < 0.7 else entries)
    match random.randrange(12):
        case 0:
            entry[0] = random.choice(
                ["../x", "/abs", "archive/data/0", "archive/data.pkl", "x", "/", "archive/../../x"]
            )
        case 1:
            entries.remove(entry)
        case 2:
            entries.append([entry[0] + "2", entry[1]])
        case _:
            entry[1] = mutate(entry[1], others, random)
    out = io.BytesIO()
    method = random.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(out, "w", method) as new:
        for name, content in entries:
            if name not in new.NameToInfo:
                new.writestr(zipfile.ZipInfo(name), content, method)  # without a date: a case can be repeated
    return out.getvalue()

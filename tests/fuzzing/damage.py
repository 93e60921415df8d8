"""What every kind of file shares: honest samples, and damage that knows nothing of their layout."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

__all__ = ["FLOATS", "NUMBERS", "TEXTS", "Files", "Kind", "Sample", "damaged", "often", "packed_number"]

Files = dict[str, bytes]

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 16, 32, 127, 128, 255, 256, 512, 1024, 4096, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 10**6,
    2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-3, 1e-30, 1e-45, 1e-320, 1e6, 1e19, 1e30, 3e38, 1e39, 1e300, -3e38,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    b"", b" ", b"0", b"-1", b"1", b"1.5", b"1e400", b"-1e38", b"nan", b"inf", b"1_0", b"99999999999999999999", b"\\",
    b"1\\2", b"1\\2\\3", b"0\\0\\0", b"1\\0\\0\\1\\0\\0", b"0\\0\\0\\0\\0\\0", b"nan\\0\\0\\0\\1\\0", b"\xff\xfe\xe9",
    b"\x1b[31m", b"$x$ <b>", b"\0\0", b"x" * 300, b"ORIGINAL\\PRIMARY\\M\\MOSAIC", b"20240131", b"2460000.5",
    "\ufffd\u2028\U0001f9e0".encode(),
)  # fmt: skip
_HEAD = 512  # bytes in which most files keep what they say of themselves


@dataclass(frozen=True, slots=True)
class Sample:
    """An honest file, or a folder of some.

    Attributes
    ----------
    name : str
    files : dict
        Bytes by name.
    opened : str
        Which of them is opened; "" for the folder.
    """

    name: str
    files: Files
    opened: str

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of files.

    Attributes
    ----------
    samples : callable
        Gives the honest ones, the same whenever it is called.
    mutated : callable
        One mutant of a sample; all samples are given too.
    read : callable
        Reads a path as the package does, and returns the bytes of what was read.
    """

    samples: Callable[[], list[Sample]]
    mutated: Callable[[Sample, Sequence[Sample], Random], Files]
    read: Callable[[Path], int]


def often(random: Random) -> int:
    """How many times a mutant is changed."""
    return random.choice((1, 1, 1, 1, 2, 2, 4, 8))


def packed_number(random: Random, width: int, order: str = "<") -> bytes:
    """An unusual number in so many bytes."""
    number = random.choice(NUMBERS)
    if random.random() < 0.2:
        number = random.getrandbits(64)
    return struct.pack(f"{order}Q", number)[slice(0, width) if order == "<" else slice(8 - width, 8)]


def damaged(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Damage in one place: bits, spans, numbers, the end."""
    out = bytearray(data)
    reach = len(out) if random.random() < 0.5 else min(len(out), _HEAD)
    at = random.randrange(reach) if reach else 0
    span = random.choice((1, 2, 4, 8, 16, 64, 256, 4096))
    match random.randrange(11):
        case 0 | 1 | 2 if out:
            out[at] ^= 1 << random.randrange(8)
        case 3:
            del out[at:]
        case 4:
            del out[at : at + span]
        case 5:
            out[at:at] = out[at : at + span] * random.choice((1, 1, 2, 50))
        case 6:
            out[at : at + span] = bytes(random.choice((0, 0xFF)) for _ in range(1)) * min(span, len(out) - at)
        case 7 | 8:
            width = random.choice((1, 2, 4, 8))
            out[at : at + width] = packed_number(random, width, random.choice("<>"))
        case 9:
            other = random.choice(others) if others else data
            begin = random.randrange(len(other)) if other else 0
            out[at : at + random.choice((0, span))] = other[begin : begin + span]
        case _:
            out += random.choice((b"\0", b"\xff")) * span if random.random() < 0.5 else random.randbytes(span)
    return bytes(out)

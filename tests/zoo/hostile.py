"""Files that try to run code, to take memory, or to pass for what they are not."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def calls(command: str) -> dict[str, bytes]:
    """Pickles that run ``os.system(command)`` in Python's own loader, or would with another global."""
    argument = text(command)
    name = b"\x8c\x02os\x8c\x06system"
    return {
        "REDUCE": b"\x80\x04cos\nsystem\n" + argument + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + name + b"\x93" + argument + b"\x85R.",
        "INST": b"\x80\x02(" + argument + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + argument + b"o.",
        "inside a list that is dropped": b"\x80\x04](cos\nsystem\n" + argument + b"\x85Re0N.",
        "second pickle behind the first": pickle.dumps({"G_ema": None})
        + b"\x80\x04cos\nsystem\n"
        + argument
        + b"\x85R.",
    }


def requests() -> dict[str, bytes]:
    """Other ways in which a pickle reaches for code; harmless ones, since nothing here is to be loaded."""
    easy = b"cdnnlib.util\nEasyDict\n"
    return {
        "NEWOBJ": b"\x80\x04csubprocess\nPopen\n" + text("true") + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n)}\x92.",
        "call of a value": b"\x80\x04]" + text("true") + b"\x85R.",
        "BUILD of a list": b"\x80\x04]}b.",
        "BUILD with attributes": b"\x80\x04" + easy + b")\x81}" + text("__class__") + b"cos\nsystem\nsb.",
        "EXT1": b"\x80\x04\x82\x01)R.", "EXT2": b"\x80\x04\x83\x01\x00)R.", "EXT4": b"\x80\x04\x84\x01\x00\x00\x00)R.",
        "PERSID": b"\x80\x04Pos.system\n.", "BINPERSID": b"\x80\x04" + text("os.system") + b"Q.",
        "buffer": b"\x80\x05\x97.", "read only buffer": b"\x80\x05]\x98.",
        "dotted name": b"\x80\x04\x8c\x0dtorch.storage\x8c\x1c_load_from_bytes.__globals__\x93.",
        "dotted module": b"\x80\x04\x8c\x05torch\x8c\x18storage._load_from_bytes\x93)R.",
        "near name": b"\x80\x04ctorch.storage\n_load_from_bytes \n.",
        "builtins": b"\x80\x04cbuiltins\neval\n" + text("1") + b"\x85R.",
        "getattr": b"\x80\x04cbuiltins\ngetattr\n" + easy + text("__class__") + b"\x86R.",
        "name that is no text": b"\x80\x04]]\x93.",
        "name without end": b"\x80\x04c" + b"a" * 5000,
        "text protocol": b"\x80\x00I1\n.", "protocol 9": b"\x80\x09N.",
        "torch.load itself": b"\x80\x04ctorch\nload\n" + text("file") + b"\x85R.",
    }  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Small files that claim to be large, and files that grow as they are read."""
    doubled = text("a") + b"q\x00" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(200))
    return {
        "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b"a.",
        "BINBYTES": b"\x80\x04B\xff\xff\xff\xffa.",
        "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b"a.",
        "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b"a.",
        "LONG4": b"\x80\x04\x8b\xff\xff\xff\x7fa.",
        "LONG4 negative": b"\x80\x04\x8b\xff\xff\xff\xffa.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
        "PUT far away": b"\x80\x04N" + b"r\xff\xff\xff\xff" * 1000 + b"r\xfe\xff\xff\x7f.",
        "memo flood": b"\x80\x04N" + b"\x94" * 500_000 + b".",
        "dictionaries": b"\x80\x04(" + b"}" * 500_000 + b"t.",
        "deep": b"\x80\x04)" + b"\x85" * 390_000 + b".",
        "deep calls": b"\x80\x04cdnnlib.util\nEasyDict\nq\x00" + b"h\x00" * 129_999 + b")" + b"\x85R" * 130_000 + b".",
        "marks": b"\x80\x04" + b"(" * 500_000,
        "one long integer": b"\x80\x04\x8b\x00\x00\x10\x00" + b"\xff" * (1 << 20) + b".",
        "laughs": b"\x80\x04" + doubled + b".",
        "laughs as a network": b"\x80\x04}" + text("G_ema") + doubled + b"s.",
        "text": b"\x80\x04(" + (b"X\x00\x00\x10\x00" + b"a" * (1 << 20)) * 70 + b"l.",
    }  # fmt: skip


def recompressed(
    pt: bytes, edit: Callable[[str, bytes], tuple[str, bytes] | None] = lambda n, d: (n, d), method: int = 0
) -> bytes:
    """A torch archive written anew with other entries or compression."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pt)) as old, zipfile.ZipFile(out, "w", method) as new:
        for entry in old.infolist():
            changed = edit(entry.filename, old.read(entry))
            if changed is not None:
                new.writestr(*changed)
    return out.getvalue()


class Rigged:
    """Pickles as any call."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.how = function, args

    def __reduce__(self):
        return self.how


def object_array(trap: object) -> np.ndarray:
    """An array whose elements are pickled one by one."""
    out = np.empty(2, object)
    out[:] = [trap, trap]
    return out


def beyond(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Rigged:
    """A tensor that claims more than its storage of four elements."""
    storage = torch.zeros(4).storage()
    return Rigged(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})

"""Pickles read as data: an interpreter that can only build plain values and inert stand-ins.

A pickle is a program. Python's own loader imports what it names and calls it; this one imports and calls nothing:

    a global name     -> Global(name), if the name is on the caller's exact list; else the file is refused
    a call of it      -> Call(name, args), a note of what was asked for
    state, items      -> kept beside the Call
    a persistent id   -> Persistent(id), where the caller expects such (torch.save)
    a long text       -> LongText, decoded where it is wanted (protocol 2 writes bytes as texts)

It never recurses and allocates nothing on a number's word: bytes are views of the file, the memo is a table of what was
really stored, and the number of operations is bounded, so that memory stays within a small multiple of the file's size.
Values may share parts or contain themselves: walk them with a bound.

Source: the opcodes as documented in the standard library's ``pickletools``. Protocols 2 to 5, without the opcodes that
no pickler of these protocols writes for data (INST, OBJ, PERSID, EXT*, out-of-band buffers, text numbers). Protocol 2
names builtins as Python 2 did: ``__builtin__.set`` is ``builtins.set`` here.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONVERT", "Call", "Global", "LongText", "Persistent", "fields", "read_pickle"]

CONVERT: Final = "torch.save({'G_ema': G_ema.state_dict()}, 'net.pt') where it runs, and import that"

MOST_OPERATIONS: Final = 400_000  # a 1024 px file with discriminator and optimisers needs some 60,000
LONGEST_INTEGER: Final = 16  # bytes; the longest published one, torch's magic number, has 10
MOST_TEXT: Final = 64 << 20  # bytes of all texts but long ones; the source texts in published files make a few MB
LONG: Final = 1 << 20  # bytes; no name or source text is as long
_SHORT: Final = 1024  # bytes
_MAPPINGS: Final = frozenset({
    "collections.OrderedDict", "collections.defaultdict", "dnnlib.util.EasyDict", "dnnlib.EasyDict",
    "easydict.EasyDict",
})  # fmt: skip
_NAMESPACES: Final = frozenset({"argparse.Namespace", "types.SimpleNamespace"})
_OLD_MODULES: Final = {"__builtin__": "builtins"}
_OLD: Final = frozenset(b"STUIL")  # instructions that only Python 2 writes at protocols 1 and 2
_MARK: Final = object()


class Global:
    """A name that a pickle mentions."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """A call that a pickle asks for: ``name(*args)``, then items set and a state given. It was not made."""

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...]) -> None:
        self.name, self.args = name, args
        self.items: dict[Any, Any] = {}
        self.state: Any = None


class Persistent:
    """A reference to something outside the pickle, as in torch.save."""

    __slots__ = ("id",)

    def __init__(self, reference: Any) -> None:
        self.id = reference


class LongText:
    """A text too long to be a name, as its UTF-8 bytes in the file."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    @cached_property
    def latin1(self) -> bytes:
        """The bytes that protocol 2 has written as this text, one for each character; UnicodeError if it is none."""
        return bytes(self.view).decode().encode("latin-1")


def fields(value: Any) -> dict[Any, Any]:
    """Entries of a dict, or of a stand-in of one or of a namespace; empty for anything else."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Call) and value.name in _MAPPINGS:
        return value.items
    if isinstance(value, Call) and value.name in _NAMESPACES and isinstance(value.state, dict):
        return value.state
    return {}


def read_pickle(
    data: memoryview, start: int, allowed: frozenset[str], references: list[Persistent] | None = None
) -> tuple[Any, int]:
    """Value of the pickle that begins at ``start``, and where it ends.

    Parameters
    ----------
    data : memoryview
        Of bytes; longer byte strings in the value are views of it.
    allowed : frozenset[str]
        Global names, 'module.name', that may be mentioned.
    references : list or None
        Where persistent ids may occur, the list that receives them.

    Raises
    ------
    WeightsError
        The bytes are not a whole pickle, mention another name, or ask for something that data never needs.
    """
    machine = _Machine(data, start, allowed, references)
    try:
        return machine.run(), machine.at
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise WeightsError("the pickle is damaged or cut short") from error


class _Machine:
    def __init__(
        self, data: memoryview, start: int, allowed: frozenset[str], references: list[Persistent] | None
    ) -> None:
        self.data, self.at, self.allowed, self.references = data, start, allowed, references
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.text_left = MOST_TEXT

    def run(self) -> Any:
        for _ in range(MOST_OPERATIONS):
            code = self.data[self.at]
            self.at += 1
            if code == _STOP:
                value = self.pop()
                if self.stack:
                    raise WeightsError("the pickle is damaged: it leaves values behind")
                return value
            if code not in _OPERATIONS:
                raise WeightsError(_unknown(code))
            operation, argument = _OPERATIONS[code]
            operation(self, argument)
        raise WeightsError(f"the pickle has more than {MOST_OPERATIONS} instructions; save less: {CONVERT}")

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.at:
            raise WeightsError("the file is cut short, or claims more bytes than it has")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise WeightsError("the pickle is damaged: a value is missing")
        return value

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # each value is passed over once: what is passed is popped
            at -= 1
            if at < 0:
                raise WeightsError("the pickle is damaged: a mark is missing")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def line(self) -> str:
        for end in range(self.at, min(self.at + 200, len(self.data))):
            if self.data[end] == 10:
                text = bytes(self.data[self.at : end]).decode()
                self.at = end + 1
                return text
        raise WeightsError("the pickle is damaged: a name has no end")

    # one method for each kind of instruction ------------------------------------------------------------------------

    def protocol(self, _: None) -> None:
        if self.number(1) > 5:
            raise WeightsError("the pickle is of a protocol that is not known")

    def frame(self, _: None) -> None:
        if self.number(8) > len(self.data) - self.at:
            raise WeightsError("the file is cut short, or claims more bytes than it has")

    def constant(self, value: Any) -> None:
        self.stack.append(value)

    def empty(self, kind: type) -> None:
        self.stack.append(kind())

    def unsigned(self, width: int) -> None:
        self.stack.append(self.number(width))

    def signed(self, width: int) -> None:
        self.stack.append(int.from_bytes(self.take(width), "little", signed=True))

    def integer(self, width: int) -> None:
        size = self.number(width)
        if size > LONGEST_INTEGER:
            raise WeightsError(f"the file holds a number of {size} bytes, as no weights do; it was refused")
        self.signed(size)

    def real(self, _: None) -> None:
        self.stack.append(struct.unpack(">d", self.take(8))[0])

    def text(self, width: int) -> None:
        size = self.number(width)
        if size >= LONG:
            self.stack.append(LongText(self.take(size)))
            return
        self.text_left -= size
        if self.text_left < 0:
            raise WeightsError(f"the file holds more than {MOST_TEXT >> 20} MB of texts; save less: {CONVERT}")
        self.stack.append(bytes(self.take(size)).decode())

    def raw(self, width: int) -> None:
        view = self.take(self.number(width))
        self.stack.append(bytes(view) if len(view) < _SHORT else view)  # a view itself takes 200 bytes

    def mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def tuple_of(self, size: int | None) -> None:
        values = self.since_mark() if size is None else [self.pop() for _ in range(size)][::-1]
        self.stack.append(tuple(values))

    def put(self, width: int | None) -> None:
        index = len(self.memo) if width is None else self.number(width)
        value = self.stack[-1]
        if value is _MARK:
            raise WeightsError("the pickle is damaged: a value is missing")
        self.memo[index] = value

    def get(self, width: int) -> None:
        index = self.number(width)
        if index not in self.memo:
            raise WeightsError("the pickle is damaged: it refers to a value that is not there")
        self.stack.append(self.memo[index])

    def append(self, many: bool) -> None:
        values = self.since_mark() if many else [self.pop()]
        target = self.stack[-1]
        if not isinstance(target, list):
            raise WeightsError("the pickle is damaged: it appends to what is not a list")
        target.extend(values)

    def set_items(self, many: bool) -> None:
        values = self.since_mark() if many else [self.pop(), self.pop()][::-1]
        target = self.stack[-1]
        table = target if isinstance(target, dict) else getattr(target, "items", None)
        if not isinstance(table, dict) or len(values) % 2:
            raise WeightsError("the pickle is damaged: it sets items of what is not a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int | None) or (isinstance(key, int) and key.bit_length() > 63):
                raise WeightsError("the file holds a dictionary with keys other than texts and numbers")
            table[key] = value

    def frozen_set(self, _: None) -> None:
        self.stack.append(tuple(self.since_mark()))  # members are only carried along, never looked up

    def named(self, on_stack: bool) -> None:
        if on_stack:
            name, module = self.pop(), self.pop()
        else:
            module, name = self.line(), self.line()
        module = _OLD_MODULES.get(module, module) if isinstance(module, str) else None
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        if full not in self.allowed or "." in name:
            shown = "".join(c if c.isprintable() else "?" for c in full[:50]) or "something without a name"
            raise WeightsError(f"the file asks to run {shown}, and nothing was run; if you trust it, {CONVERT}")
        self.stack.append(Global(full))

    def call(self, _: None) -> None:
        args, target = self.pop(), self.pop()
        if isinstance(target, Persistent) and isinstance(target.id, tuple) and target.id[:1] == ("module",):
            target = target.id[1] if len(target.id) > 1 else None  # older torch.save: a class, with its source beside
        if not isinstance(target, Global) or not isinstance(args, tuple):
            raise WeightsError("the file asks to call a value; it was refused and nothing was run")
        self.stack.append(Call(target.name, args))

    def build(self, _: None) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, Call):
            raise WeightsError("the file asks to change a plain value; it was refused and nothing was run")
        target.state = state

    def persistent_id(self, _: None) -> None:
        if self.references is None:
            raise WeightsError("the file refers to something outside itself; it was refused")
        self.references.append(Persistent(self.pop()))
        self.stack.append(self.references[-1])


def _unknown(code: int) -> str:
    """What to say of an instruction that is not read."""
    if code in _OLD:
        return f"the file was pickled by Python 2, whose texts are not read here; {CONVERT}"
    return f"the file holds the pickle instruction 0x{code:02x}, which is not read here; nothing was run; {CONVERT}"


_STOP: Final = 0x2E
_NAMES: Final[dict[int, tuple[str, Any]]] = {
    0x80: ("protocol", None), 0x95: ("frame", None),
    ord("N"): ("constant", None), 0x88: ("constant", True), 0x89: ("constant", False),
    ord("]"): ("empty", list), ord("}"): ("empty", dict), ord(")"): ("empty", tuple), 0x8F: ("empty", list),
    ord("K"): ("unsigned", 1), ord("M"): ("unsigned", 2), ord("J"): ("signed", 4),
    0x8A: ("integer", 1), 0x8B: ("integer", 4), ord("G"): ("real", None),
    0x8C: ("text", 1), ord("X"): ("text", 4), 0x8D: ("text", 8),
    ord("C"): ("raw", 1), ord("B"): ("raw", 4), 0x8E: ("raw", 8), 0x96: ("raw", 8),
    ord("("): ("mark", None), ord("t"): ("tuple_of", None),
    0x85: ("tuple_of", 1), 0x86: ("tuple_of", 2), 0x87: ("tuple_of", 3),
    ord("q"): ("put", 1), ord("r"): ("put", 4), 0x94: ("put", None), ord("h"): ("get", 1), ord("j"): ("get", 4),
    ord("a"): ("append", False), ord("e"): ("append", True), 0x90: ("append", True), 0x91: ("frozen_set", None),
    ord("s"): ("set_items", False), ord("u"): ("set_items", True),
    ord("c"): ("named", False), 0x93: ("named", True), ord("R"): ("call", None), 0x81: ("call", None),
    ord("b"): ("build", None), ord("Q"): ("persistent_id", None),
}  # fmt: skip
_OPERATIONS: Final[dict[int, tuple[Callable[[_Machine, Any], None], Any]]] = {
    code: (getattr(_Machine, name), argument) for code, (name, argument) in _NAMES.items()
}

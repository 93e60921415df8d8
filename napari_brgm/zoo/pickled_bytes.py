"""Bytes in a pickle, read from inert stand-ins: as they are, or as the Latin-1 text that protocol 2 makes of them."""

from __future__ import annotations

from typing import Any

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Call, LongText

__all__ = ["bytes_of"]


def bytes_of(value: Any, name: str) -> memoryview | bytes:
    """Bytes of a stand-in; ``name`` is for the message.

    Raises
    ------
    WeightsError
        It is something other than bytes.
    """
    if isinstance(value, Call) and value.name == "builtins.bytearray" and value.args:
        value = value.args[0] if not isinstance(value.args[0], str) else Call("_codecs.encode", value.args)
    if isinstance(value, Call) and value.name == "builtins.bytes" and not value.args:
        return b""
    if isinstance(value, Call) and value.name == "_codecs.encode" and value.args:
        text = value.args[0]
        try:
            if isinstance(text, LongText):
                return text.latin1
            if isinstance(text, str):
                return text.encode("latin-1")
        except UnicodeError as error:
            raise WeightsError(f"the bytes of {name} are malformed; the file is damaged") from error
    if not isinstance(value, memoryview | bytes):
        raise WeightsError(f"{name} is not made of bytes; the file was refused")
    return value

"""Checkpoints of a training: nested state in a folder of files small enough to be copied one by one.

    index.json                     the tree of plain values, which tensor lies where, SHA-256 of every part
    checkpoint-GGGG-PPP.safetensors  generation G, part P: tensors, or flat pieces of a large one

The parts of a new generation are written beside the old ones, then the index is replaced in one step, then the old
parts go: a process killed at any moment leaves one complete checkpoint. Nothing in such files can run.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["has_checkpoint", "load_checkpoint", "save_checkpoint"]

_INDEX = "index.json"
_FORMAT = "napari-brgm checkpoint 1"
_PART = re.compile(r"checkpoint-(\d+)-\d+\.safetensors(\.part)?$")
_ROOM = 65_536  # bytes of a part left for its header
LIMIT = 15_000_000  # bytes of a file


def has_checkpoint(folder: Path) -> bool:
    """Whether ``folder`` holds a checkpoint."""
    return (folder / _INDEX).is_file()


def save_checkpoint(folder: Path, state: dict[str, Any], limit_bytes: int = LIMIT) -> None:
    """Replace the checkpoint in ``folder`` by ``state``; whatever goes wrong, one complete checkpoint stays.

    Parameters
    ----------
    folder : Path
        Made if need be.
    state : dict
        Nested dicts (keys str or int), lists and tuples of tensors (any device), str, int, float, bool, None:
        ``state_dict()`` of modules and optimisers, states of generators.
    limit_bytes : int
        No file is larger.

    Raises
    ------
    OutputError
        The folder cannot be written.
    TypeError
        ``state`` holds something else.
    """
    if limit_bytes <= _ROOM:
        raise ValueError(f"limit_bytes must be above {_ROOM}, got {limit_bytes}")
    tensors: list[Tensor] = []
    tree = _plain(state, tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        generation = 1 + max((int(m[1]) for path in folder.iterdir() if (m := _PART.match(path.name))), default=0)
        written: dict[str, str] = {}
        places: list[dict[str, Any]] = []
        for number, part in enumerate(_parts(tensors, limit_bytes - _ROOM)):
            path = folder / f"checkpoint-{generation:04d}-{number:03d}.safetensors"
            write_tensors(path, {str(which): piece for which, piece in part}, {})
            written[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            places += [{"tensor": which, "part": path.name} for which, _ in part]
        shapes = [list(tensor.shape) for tensor in tensors]
        index = {"format": _FORMAT, "state": tree, "shapes": shapes, "places": places, "sha256": written}
        with whole_file(folder / _INDEX) as draft:
            draft.write_text(json.dumps(index))
        for path in folder.iterdir():
            if _PART.match(path.name) and path.name not in written:
                path.unlink()
    except OSError as error:
        advice = advice_of(error, "choose another folder")
        raise OutputError(f"the checkpoint cannot be written to {folder}: {reason_of(error)}; {advice}") from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """State as it was saved, its tensors on the CPU.

    Raises
    ------
    WeightsError
        There is no checkpoint, or a part of it is missing or damaged.
    """
    try:
        index = json.loads((folder / _INDEX).read_text())
        if index["format"] != _FORMAT:
            raise WeightsError(f"{folder} holds a checkpoint of another kind; choose another folder")
        parts = {}
        for name, digest in index["sha256"].items():
            data = (folder / name).read_bytes() if _PART.match(name) else b""
            if hashlib.sha256(data).hexdigest() != digest:
                raise WeightsError(f"{folder / name} is not as it was written; copy it again, or start in a new folder")
            parts[name] = read_tensors(folder / name)[0]
        pieces: list[list[Tensor]] = [[] for _ in index["shapes"]]
        for place in index["places"]:
            pieces[place["tensor"]].append(parts[place["part"]][str(place["tensor"])])
        tensors = [torch.cat(found).reshape(shape) for found, shape in zip(pieces, index["shapes"], strict=True)]
        state: dict[str, Any] = _nested(index["state"], tensors)
        return state
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} holds no complete checkpoint: {error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise WeightsError(
            f"the checkpoint in {folder} cannot be read: {reason_of(error)}; start in a new folder"
        ) from error


def _parts(tensors: list[Tensor], room: int) -> list[list[tuple[int, Tensor]]]:
    """Deal flat pieces of the tensors out to parts of at most ``room`` bytes and 500 tensors, in order."""
    parts: list[list[tuple[int, Tensor]]] = [[]]
    left = room
    for which, tensor in enumerate(tensors):
        flat = tensor.detach().cpu().reshape(-1)
        for piece in torch.split(flat, room // flat.element_size()):
            size = piece.numel() * piece.element_size()
            if size > left or len(parts[-1]) >= 500:
                parts.append([])
                left = room
            parts[-1].append((which, piece))
            left -= size
    return [part for part in parts if part]


def _plain(value: Any, tensors: list[Tensor]) -> Any:
    """JSON value of a state; tensors are put into ``tensors`` and their number in their place."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise TypeError("keys of a checkpoint must be str or int")
        return {"dict": [[key, _plain(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_plain(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_plain(item, tensors) for item in value]
    if value is None or type(value) in (str, int, float, bool):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _nested(value: Any, tensors: list[Tensor]) -> Any:
    """Inverse of ``_plain``."""
    if isinstance(value, list):
        return [_nested(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _nested(item, tensors) for key, item in content}
    return tuple(_nested(item, tensors) for item in content)

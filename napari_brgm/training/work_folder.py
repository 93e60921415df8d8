"""made-by.json: what the stages in a work folder were made from, so that no run goes on from those of another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets import SliceSet

__all__ = ["claim_folder"]

_RECORD = "made-by.json"
_STAGES = ("linear.pt", "checkpoint.pt", "checkpoint", "shrinkage.safetensors")  # the first that each recipe leaves


def claim_folder(work: Path, recipe: str, slices: SliceSet, settings: dict[str, Any]) -> None:
    """Record what ``work`` is for; where it has a record, look whether this run may go on there.

    Parameters
    ----------
    work : Path
        Made if missing.
    recipe : str
    slices : SliceSet
        All of them, as they are before any is held out.
    settings : dict
        Those that the stages depend on; JSON values.

    Raises
    ------
    InputError
        The folder holds the training of another recipe, of other slices, or with other settings.
    OutputError
        The folder cannot be written.
    """
    ours = json.loads(json.dumps({"recipe": recipe, "slices": slices.digest(), "settings": settings}))
    path = work / _RECORD
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in ("recipe", "slices") if theirs[key] != ours[key]]
        other = theirs["settings"]
        keys = sorted(key for key in {*other, *settings} if other.get(key) != ours["settings"].get(key))
    except (FileNotFoundError, NotADirectoryError):
        if any((work / stage).exists() for stage in _STAGES):
            raise InputError(f"{work} holds stages that do not say what they are of; choose another folder") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} cannot be read, which says what the folder is of; choose another folder") from error
    else:
        if "recipe" in different:
            raise InputError(f"{work} is of the recipe {theirs['recipe']!r}; choose another folder, or that recipe")
        if different:
            raise InputError(f"{work} is of other slices; choose another folder, or the same data and frame")
        if keys:
            raise InputError(f"{work} is of another {', '.join(keys)}; choose another folder, or the same settings")
        return
    try:
        work.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into the work folder {work}: {reason_of(error)}; choose another") from error

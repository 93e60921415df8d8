"""Poses of the copies of slices, chosen by how well slices of other subjects are restored (tuning.py)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.errors import OutputError
from napari_brgm.likelihood import from_grey
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.reason import reason_of
from napari_brgm.training.poses import Poses, posed_copies
from napari_brgm.training.recipe import fitted
from napari_brgm.training.tuning import evenly_picked, hole_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_brgm.datasets import SliceSet
    from napari_brgm.training.recipe import Recipe

__all__ = ["adapted"]

_HELD = 48  # slices of the fold that is restored
_MANY = 4000  # slices with their copies: more do not help the components
_WIDE = Poses(copies=4, shift=0.05, scale=0.05, rotation=4.0)  # patients that lie as they like


def adapted(recipe: Recipe, slices: SliceSet, work: Path, report: Callable[[str], None]) -> Recipe:
    """The recipe with the poses of copies that restore slices of other subjects best; kept in ``work``.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path, digest = work / "poses.json", slices.digest()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["slices"] == digest:
            return replace(recipe, poses=Poses(**kept["poses"]))
    except (OSError, ValueError, TypeError, KeyError):
        pass
    tried = _candidates(recipe, len(slices))
    chosen = tried[0]
    if len(tried) > 1:
        errors = _errors_of(tried, recipe, slices)
        chosen = tried[errors.index(min(errors))]
        said = "; ".join(f"{_name(p)}: {e:.2f}" for p, e in zip(tried, errors, strict=True))
        report(f"error in holes of held-out slices by the copies of a slice, grey levels: {said}")
    try:
        work.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"slices": digest, "poses": asdict(chosen)}) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into the work folder {work}: {reason_of(error)}; choose another") from error
    return replace(recipe, poses=chosen)


def _candidates(recipe: Recipe, count: int) -> list[Poses]:
    wide = min(max(_MANY // count - 1, 1), _WIDE.copies)
    return [recipe.poses, replace(_WIDE, copies=wide)]


def _errors_of(tried: Sequence[Poses], recipe: Recipe, slices: SliceSet) -> list[float]:
    """Least error in holes of slices of a third of the subjects by models of the others, for each kind of poses."""
    grey = torch.from_numpy(slices.images // (1 if slices.white == 255 else 257)).to(torch.uint8)
    order = torch.randperm(len(slices.subject_names), generator=torch.Generator().manual_seed(2))
    fold = order[torch.from_numpy(slices.subjects)] % recipe.folds
    size = recipe.grid or grey.shape[-1]
    held = evenly_picked((fold == 0).nonzero()[:, 0], _HELD)
    own = evenly_picked((fold != 0).nonzero()[:, 0], _MANY // 2)

    def small(part: Tensor) -> Tensor:
        return F.avg_pool2d(from_grey(part.float()), grey.shape[-1] // size)

    errors = []
    for poses in tried:
        shown = small(torch.cat([grey[own], posed_copies(grey[own], poses)]))
        most = fitted(replace(recipe, poses=poses), slices, lambda _line: None).components
        components = min(most, len(shown) // 4)
        model = LinearModel.fit(shown, components, mirror=recipe.mirror)
        errors.append(float(hole_errors(model, small(grey[held])).min()))
    return errors


def _name(poses: Poses) -> str:
    return f"{poses.copies} of {100 * poses.shift:.0f} %, {100 * poses.scale:.0f} %, {poses.rotation:.0f} degrees"

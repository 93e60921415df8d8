"""The runs whose uncertainty can be looked at: groups of result layers in a viewer.

A run of this session has an ``Outcome``, with its samples. Of results that were read from files there are only the
layers: estimate and variance (or std), and perhaps samples; then each pixel is taken for a Gaussian, mean = estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers import conversion, stored
from napari_brgm.plugin.outcome import outcome_of
from napari_brgm.plugin.posterior_planes import PlaneArrays, PosteriorPlane, restored_plane

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.components import Dims
    from napari.layers import Layer

    from napari_brgm.plugin.outcome import Outcome
    from napari_brgm.plugin.posterior_at import PosteriorAt

__all__ = ["Run", "data_index", "key_of", "runs_in"]


@dataclass(slots=True, eq=False)
class Run:
    """One run and the layer that stands for it.

    Attributes
    ----------
    key : str
        What tells it from other runs.
    base : Layer
        The restored image, or another layer of the run on its grid; ``planes`` have their places in its data.
    task, source, units : str
    planes : tuple of PosteriorPlane
        Parallel to each other.
    parts : tuple of Layer
        Layers that are read when a plane is first looked at; none for a run with an outcome.
    """

    key: str
    base: Layer
    task: str
    source: str
    units: str
    planes: tuple[PosteriorPlane, ...]
    parts: tuple[Layer, ...] = ()
    _places: dict[tuple[int, ...], PosteriorPlane] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {tuple(i for i in p.index if not isinstance(i, slice)): p for p in self.planes}

    @property
    def trust(self) -> str:
        """What is known of its intervals: the set that they were calibrated on, or why they are not; '' if nothing."""
        record = self.base.metadata["brgm"]
        told = [one.get("calibration") for one in (record, *record.get("slices", ())) if isinstance(one, dict)]
        return next((str(one["label"]) for one in told if isinstance(one, dict) and "label" in one), "")

    def same(self, other: Run) -> bool:
        """Whether it is made of the same layers."""
        ours, theirs = (self.base, *self.parts), (other.base, *other.parts)
        return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))

    def index(self, dims: Dims, position: Sequence[float]) -> npt.NDArray[np.float64]:
        """Index (n,) of the base layer's data at a position in the viewer's world."""
        return data_index(self.base, dims, position)

    def at(self, index: npt.NDArray[np.float64]) -> PosteriorAt | None:
        """The posterior at an index of the base layer's data; None where nothing was restored."""
        if not np.isfinite(index).all():
            return None
        nearest = [int(i) for i in np.floor(index + 0.5)]
        pairs = zip(self.planes[0].index, nearest, strict=True)
        plane = self._places.get(tuple(i for own, i in pairs if not isinstance(own, slice)))
        place = None if plane is None else plane.find(nearest)
        return None if plane is None or place is None else plane.at(*place)

    def nearest_first(self, dims: Dims) -> list[PosteriorPlane]:
        """Its planes, the one on the screen first."""
        here = self.index(dims, dims.point)

        def far(plane: PosteriorPlane) -> float:
            pairs = zip(plane.index, here, strict=True)
            return float(sum(abs(own - i) for own, i in pairs if not isinstance(own, slice)))

        return sorted(self.planes, key=far)


@dataclass(slots=True, eq=False)
class _Found:
    """Layers of one run by their roles, first come first."""

    outcome: Outcome | None
    layers: dict[str, Layer] = field(default_factory=dict)


def runs_in(layers: Iterable[Layer], known: dict[str, Run]) -> dict[str, Run]:
    """Find the runs among layers, by key; those of ``known`` that are as they were are given back."""
    groups: dict[str, _Found] = {}
    for layer in layers:
        key = key_of(layer)
        if key is not None:
            group = groups.setdefault(key, _Found(outcome_of(layer)))
            group.layers.setdefault(_role(layer), layer)
    runs = {}
    for key, group in groups.items():
        run = _of_outcome(key, group) if group.outcome is not None else _of_layers(key, group)
        if run is not None:
            before = known.get(key)
            runs[key] = before if before is not None and before.same(run) else run
    return runs


def key_of(layer: Layer | None) -> str | None:
    """Give the key of the run whose result a layer is; None for others, and for maps made of a run."""
    outcome = outcome_of(layer)
    if outcome is not None:
        return outcome.run
    if layer is None or _role(layer) not in ("estimate", "variance", "std", "samples"):
        return None
    record = layer.metadata["brgm"]
    if record.get("task") == "explore":  # draws from a prior, of nobody
        return None
    run = record.get("run")
    return f"run {run}" if run else f"{record.get('task')} of {record.get('source_layer', layer.name.split(' [')[0])}"


def data_index(layer: Layer, dims: Dims, position: Sequence[float]) -> npt.NDArray[np.float64]:
    """Index (n,) of a layer's data at a position in the viewer's world, which may have more axes and other units."""
    point = np.array(position, dtype=float)[-layer.ndim :]
    point = np.concatenate([np.zeros(layer.ndim - len(point)), point])
    units = getattr(dims, "units", None)
    if units is not None and len(units) >= layer.ndim:
        pairs = zip(units[len(units) - layer.ndim :], layer.units, strict=True)
        point *= [conversion(viewer, own) or 1.0 for viewer, own in pairs]
    return np.asarray(layer.world_to_data(point), dtype=float)


def _of_outcome(key: str, group: _Found) -> Run | None:
    outcome = group.outcome
    base = next(
        (group.layers[role] for role in ("estimate", "variance", "std", "interval") if role in group.layers), None
    )
    if outcome is None or base is None:
        return None
    return Run(key, base, outcome.task, outcome.source, outcome.units, tuple(map(restored_plane, outcome.planes)))


def _of_layers(key: str, group: _Found) -> Run | None:
    """A run read from files; None without an estimate and a spread on its grid."""
    estimate, samples = group.layers.get("estimate"), group.layers.get("samples")
    spread = group.layers.get("variance", group.layers.get("std"))
    if estimate is None or spread is None or stored(estimate).shape != stored(spread).shape or estimate.ndim < 2:
        return None
    record = estimate.metadata["brgm"]
    squared, keeps = spread is group.layers.get("variance"), record.get("role") == "restored"
    planes = []
    for index in _indices(stored(estimate).shape, record):
        at = _samples_index(estimate, samples, index)

        def load(index: Any = index, at: Any = at) -> PlaneArrays:
            image = np.asarray(stored(estimate)[index])
            std = np.asarray(stored(spread)[index], dtype=np.float32)
            std = np.sqrt(np.maximum(std, 0)) if squared else std
            measured = std == 0 if keeps or not std.any() else np.zeros(std.shape, bool)
            draws = None if at is None or samples is None else np.asarray(stored(samples)[at])
            return PlaneArrays(image, image, std, measured, draws)

        planes.append(PosteriorPlane(index, load))
    source = str(record.get("source_layer", estimate.name.split(" [")[0]))
    parts = (spread,) if samples is None else (spread, samples)
    return Run(key, estimate, str(record.get("task", "")), source, str(record.get("units", "")), tuple(planes), parts)


def _indices(shape: tuple[int, ...], record: dict[str, Any]) -> list[tuple[int | slice, ...]]:
    """Where the planes lie: as noted by the run where that fits, else all planes of the last two axes."""
    written: list[Any] = [one.get("index") for one in record.get("slices", ()) if isinstance(one, dict)]
    noted: list[list[int | None]] = [
        list(index) for index in written if index and len(index) == len(shape) and index.count(None) == 2
    ]
    if noted:
        numbers = np.array([[0 if i is None else i for i in index] for index in noted])
        if not (record.get("role") in ("restored", "cleaned") and (numbers < shape).all()):
            numbers = numbers - numbers.min(axis=0)  # a grid of its own, that begins with its first plane
        if (numbers < shape).all():
            whole = slice(None)
            return [
                tuple(whole if a is None else i for a, i in zip(index, own, strict=True))
                for index, own in zip(noted, numbers.tolist(), strict=True)
            ]
    return [(*before, slice(None), slice(None)) for before in product(*map(range, shape[:-2]))]


def _samples_index(estimate: Layer, samples: Layer | None, index: tuple[int | slice, ...]) -> Any:
    """Where the draws of a plane lie in the data of a samples layer, which has one axis more; None if they do not."""
    if samples is None or samples.ndim != estimate.ndim + 1:
        return None
    shape, wanted = stored(samples).shape[1:], stored(estimate).shape
    if shape == wanted:
        return (slice(None), *index)
    alone = all(n == (w if isinstance(i, slice) else 1) for n, w, i in zip(shape, wanted, index, strict=True))
    return (slice(None), *(i if isinstance(i, slice) else 0 for i in index)) if alone else None


def _role(layer: Layer) -> str:
    record = layer.metadata.get("brgm")
    role = str(record.get("role", "")) if isinstance(record, dict) else ""
    if role in ("restored", "cleaned") or (role[:1] == "x" and role[1:2].isdigit()):
        return "estimate"
    return {"low": "interval", "high": "interval"}.get(role, role)

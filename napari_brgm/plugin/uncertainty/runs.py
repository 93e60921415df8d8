"""The runs whose uncertainty can be looked at: groups of result layers in a viewer.

A run of this session has an ``Outcome``, with its samples. Of results that were read from files there are only the
layers: estimate and variance (or std), perhaps samples or an interval, and what the record keeps of mean and widths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.calibration import unpack_widths
from napari_brgm.plugin.layers.naming import name_of_source
from napari_brgm.plugin.layers.outcome import Outcome, RestoredPlane, kept_mean, outcome_of
from napari_brgm.plugin.layers.shown import conversion, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.components import Dims
    from napari.layers import Layer

    from napari_brgm.engine.restoration import Restoration

__all__ = ["InspectedRun", "data_index", "key_of", "runs_in"]

Index = tuple[int | slice, ...]


@dataclass(slots=True, eq=False)
class InspectedRun:
    """One run and the layer that stands for it.

    Attributes
    ----------
    base : Layer
        The restored image, or another layer of the run on its grid; the planes have their places in its data.
    outcome : Outcome
    parts : tuple of Layer
        Layers that are read when a plane is first looked at; none for a run of this session.
    """

    base: Layer
    outcome: Outcome
    parts: tuple[Layer, ...] = ()
    _places: dict[tuple[int, ...], RestoredPlane] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {tuple(i for i in p.index if not isinstance(i, slice)): p for p in self.outcome.planes}

    @property
    def key(self) -> str:
        """What tells it from other runs."""
        return self.outcome.run

    @property
    def planes(self) -> tuple[RestoredPlane, ...]:
        return self.outcome.planes

    @property
    def trust(self) -> str:
        """What is known of its intervals: the set that they were calibrated on, or why they are not; '' if nothing."""
        record = self.base.metadata["brgm"]
        told = [one.get("calibration") for one in (record, *record.get("slices", ())) if isinstance(one, dict)]
        return next((str(one["label"]) for one in told if isinstance(one, dict) and "label" in one), "")

    @property
    def finished(self) -> bool:
        """Whether its samples have a texture that its mean, variance and intervals know nothing of."""
        record = self.base.metadata["brgm"]
        return any(bool(one.get("finished")) for one in (record, *record.get("slices", ())) if isinstance(one, dict))

    def same(self, other: InspectedRun) -> bool:
        """Whether it is made of the same layers."""
        ours, theirs = (self.base, *self.parts), (other.base, *other.parts)
        return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))

    def index(self, dims: Dims, position: Sequence[float]) -> npt.NDArray[np.float64]:
        """Index (n,) of the base layer's data at a position in the viewer's world."""
        return data_index(self.base, dims, position)

    def at(self, index: npt.NDArray[np.float64]) -> Restoration | None:
        """The pixel at an index of the base layer's data; None where nothing was restored."""
        if not np.isfinite(index).all():
            return None
        nearest = [int(i) for i in np.floor(index + 0.5)]
        pairs = zip(self.planes[0].index, nearest, strict=True)
        plane = self._places.get(tuple(i for own, i in pairs if not isinstance(own, slice)))
        place = None if plane is None else plane.find(nearest)
        return None if plane is None or place is None else plane.at(*place)

    def nearest_first(self, dims: Dims) -> list[RestoredPlane]:
        """Its planes, the one on the screen first."""
        here = self.index(dims, dims.point)

        def far(plane: RestoredPlane) -> float:
            pairs = zip(plane.index, here, strict=True)
            return float(sum(abs(own - i) for own, i in pairs if not isinstance(own, slice)))

        return sorted(self.planes, key=far)


def runs_in(layers: Iterable[Layer], known: Mapping[str, InspectedRun]) -> dict[str, InspectedRun]:
    """Find the runs among layers, by key; those of ``known`` that are as they were are given back."""
    groups: dict[str, dict[str, Layer]] = {}  # by role, first come first
    for layer in layers:
        key = key_of(layer)
        if key is not None:
            groups.setdefault(key, {}).setdefault(_role(layer), layer)
    runs = {}
    for key, group in groups.items():
        run = _of_session(group) or _of_files(key, group)
        if run is not None:
            before = known.get(key)
            runs[key] = before if before is not None and before.same(run) else run
    return runs


def key_of(layer: Layer | None) -> str | None:
    """Give the key of the run whose result a layer is; None for others, and for maps made of a run."""
    outcome = outcome_of(layer)
    if outcome is not None:
        return outcome.run
    if layer is None or _role(layer) not in ("estimate", "variance", "std", "samples", "low", "high"):
        return None
    record = layer.metadata["brgm"]
    if record.get("task") == "explore":  # draws from a prior, of nobody
        return None
    run = record.get("run")
    return f"run {run}" if run else f"{record.get('task')} of {record.get('source_layer', name_of_source(layer.name))}"


def data_index(layer: Layer, dims: Dims, position: Sequence[float]) -> npt.NDArray[np.float64]:
    """Index (n,) of a layer's data at a position in the viewer's world, which may have more axes and other units."""
    point = np.array(position, dtype=float)[-layer.ndim :]
    point = np.concatenate([np.zeros(layer.ndim - len(point)), point])
    units = getattr(dims, "units", None)
    if units is not None and len(units) >= layer.ndim:
        pairs = zip(units[len(units) - layer.ndim :], layer.units, strict=True)
        point *= [conversion(viewer, own) or 1.0 for viewer, own in pairs]
    return np.asarray(layer.world_to_data(point), dtype=float)


def _of_session(group: Mapping[str, Layer]) -> InspectedRun | None:
    """A run of this session; None without a layer of its grid."""
    roles = ("estimate", "variance", "std", "low", "high")
    base = next((group[role] for role in roles if role in group), None)
    outcome = outcome_of(base)
    return None if base is None or outcome is None else InspectedRun(base, outcome)


def _of_files(key: str, group: Mapping[str, Layer]) -> InspectedRun | None:
    """A run read from files; None without an estimate and a spread on its grid."""
    estimate, spread = group.get("estimate"), group.get("variance", group.get("std"))
    if estimate is None or spread is None or stored(estimate).shape != stored(spread).shape or estimate.ndim < 2:
        return None
    record = estimate.metadata["brgm"]
    indices = _indices(stored(estimate).shape, record)
    planes = [
        RestoredPlane(index, partial(_read, group, index, _samples_index(group, index, [i for i, _ in indices]), own))
        for index, own in indices
    ]
    source = str(record.get("source_layer", name_of_source(estimate.name)))
    outcome = Outcome(key, str(record.get("task", "")), source, str(record.get("units", "")), tuple(planes))
    parts = tuple(group[role] for role in ("variance", "std", "samples", "low", "high") if role in group)
    return InspectedRun(estimate, outcome, parts)


def _read(group: Mapping[str, Layer], index: Index, at: Index | None, own: dict[str, Any]) -> Restoration:
    """One plane of a run read from files, with its own part of the record; ``at``: where its samples lie."""
    from napari_brgm.engine.restoration import Restoration

    image, record = np.asarray(stored(group["estimate"])[index]), group["estimate"].metadata["brgm"] | own
    squared = "variance" in group
    spread = np.asarray(stored(group["variance" if squared else "std"])[index], dtype=np.float32)
    variance = np.maximum(spread, 0) if squared else np.square(spread)
    keeps = record.get("role") == "restored" or not variance.any()
    measured = variance == 0 if keeps else np.zeros(variance.shape, bool)
    samples = np.empty((0, *image.shape), np.float32)
    if at is not None:
        samples = np.asarray(stored(group["samples"])[at])
    widths = (record.get("calibration") or {}).get("widths")
    return Restoration(
        estimate=image,
        mean=np.where(measured, image, _mean(group, index, samples, record, image)),
        variance=variance,
        samples=samples,
        latents=np.empty((0, 0), np.float32),
        measured=measured,
        trace=[],
        provenance=record,
        widths=unpack_widths(widths, image.shape) if widths else None,
    )


def _mean(
    group: Mapping[str, Layer],
    index: Index,
    samples: npt.NDArray[Any],
    record: Mapping[str, Any],
    image: npt.NDArray[Any],
) -> Any:
    """Posterior mean, about which intervals lie: the one kept, of the draws, of an interval, or the estimate."""
    kept = kept_mean(record, image)
    if kept is not None:
        return kept
    if len(samples):
        return samples.mean(axis=0, dtype=np.float64)
    ends = [stored(group[role]) for role in ("low", "high") if role in group]
    if len(ends) == 2 and all(end.shape == stored(group["estimate"]).shape for end in ends):
        return sum(np.asarray(end[index], dtype=np.float64) for end in ends) / 2
    return image


def _indices(shape: tuple[int, ...], record: dict[str, Any]) -> list[tuple[Index, dict[str, Any]]]:
    """Where the planes lie, and the record of each: as noted by the run where that fits, else all of the last axes."""
    slices: list[dict[str, Any]] = [one for one in record.get("slices", ()) if isinstance(one, dict)]
    places = [(one, one.get("index")) for one in slices]  # of the shell it is the number of the slice
    noted = [
        one for one, i in places if isinstance(i, list | tuple) and len(i) == len(shape) and list(i).count(None) == 2
    ]
    whole = slice(None)
    if noted:
        numbers = np.array([[0 if i is None else i for i in one["index"]] for one in noted])
        if not (record.get("role") in ("restored", "cleaned") and (numbers < shape).all()):
            numbers = numbers - numbers.min(axis=0)  # a grid of its own, that begins with its first plane
        if (numbers < shape).all():
            return [
                (tuple(whole if a is None else i for a, i in zip(one["index"], own, strict=True)), one)
                for one, own in zip(noted, numbers.tolist(), strict=True)
            ]
    only = slices[0] if len(slices) == 1 else {}
    return [((*before, whole, whole), only) for before in product(*map(range, shape[:-2]))]


def _samples_index(group: Mapping[str, Layer], index: Index, planes: Sequence[Index]) -> Index | None:
    """Where the draws of a plane lie in a samples layer, which covers all data or the block of ``planes``."""
    estimate, samples = group["estimate"], group.get("samples")
    if samples is None or samples.ndim != estimate.ndim + 1:
        return None
    place: list[int | slice] = [slice(None)]
    for axis, (own, length) in enumerate(zip(index, stored(samples).shape[1:], strict=True)):
        others = [i for plane in planes if not isinstance(i := plane[axis], slice)]
        if length == stored(estimate).shape[axis]:
            place.append(own)
        elif not isinstance(own, slice) and length == max(others) - min(others) + 1:
            place.append(own - min(others))
        else:
            return None
    return tuple(place)


def _role(layer: Layer) -> str:
    record = layer.metadata.get("brgm")
    role = str(record.get("role", "")) if isinstance(record, dict) else ""
    return "estimate" if role in ("restored", "cleaned") or (role[:1] == "x" and role[1:2].isdigit()) else role

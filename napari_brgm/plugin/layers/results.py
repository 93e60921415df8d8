"""Finished runs -> new napari layers on the source's geometry. Nothing is overwritten; undo is deleting the layers.

In-painting and cleaning give layers of the source's shape, and the tint of the variance marks what is synthetic.
Super-resolution gives its slices on their finer grid; there all is synthetic, and the tint is off until it is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from napari_brgm.lossless import as_type, exact_type
from napari_brgm.plugin.layers.geometry import Block, geometry
from napari_brgm.plugin.layers.history import history_of
from napari_brgm.plugin.layers.naming import result_name, role_in_words
from napari_brgm.plugin.layers.outcome import OUTCOME_KEY, PINNED_KEY, Outcome, RestoredPlane, as_stored
from napari_brgm.plugin.layers.shown import stored
from napari_brgm.plugin.layers.tag import mark_synthetic
from napari_brgm.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image
    from napari.utils.colormaps import Colormap

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["LAYER_NOTICE", "LAYER_NOTICE_ALL", "UNCERTAINTIES", "Extras", "add_results", "tint"]

LAYER_NOTICE = "Synthetic: computed by a generative model, not measured. Not for diagnosis."
LAYER_NOTICE_ALL = "Synthetic: every pixel of this slice is an estimate, none is kept as measured. Not for diagnosis."
UNCERTAINTIES = ("variance", "std")  # roles of layers that are shown as a tint, with 0 for what was measured
_HIDDEN = ("samples", "std", "low", "high")  # until they are wanted

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Extras:
    """Layers wanted besides the restored image and its variance; ``level`` is that of the interval, 0 for none."""

    std: bool = False
    samples: bool = False
    level: float = 0.0


def add_results(
    viewer: ViewerModel,
    source: Image,
    planes: Sequence[tuple[ShownSlice, Restoration]],
    task: str,
    extras: Extras,
    units: str = "a.u.",
) -> list[Image]:
    """Add the layers of one run: restored image, wanted extras, and on top the variance as a tint; restored first.

    Parameters
    ----------
    planes : sequence of (ShownSlice, Restoration)
        Parallel planes of the source, at least one.
    task : str
        'in-paint', 'super-resolve' or 'clean'.
    units : str
        Intensity units of the scan, for whoever shows its values.
    """
    add = _Adder(viewer, source, planes, task, units)
    wanted: list[tuple[str, Callable[[Restoration], Any]]] = [(add.role, lambda result: result.estimate)]
    spread = all(result.has_spread for _, result in planes)
    if extras.samples and spread:
        wanted.append(("samples", lambda result: result.samples))
    if extras.level and spread:
        wanted.append(("low", lambda result: result.interval(extras.level)[0]))
        wanted.append(("high", lambda result: result.interval(extras.level)[1]))
    if extras.std and spread:
        wanted.append(("std", lambda result: result.std))
    if spread:
        wanted.append(("variance", lambda result: result.variance))
    layers = [add(role, [of(plane.result) for plane in add.outcome.planes], extras) for role, of in wanted]
    viewer.layers.selection.active = layers[0]
    mark_synthetic(viewer)
    history_of(viewer).add(layers)
    return layers


class _Adder:
    """Adds one layer of a run at a time."""

    def __init__(
        self,
        viewer: ViewerModel,
        source: Image,
        planes: Sequence[tuple[ShownSlice, Restoration]],
        task: str,
        units: str,
    ) -> None:
        self.viewer, self.source = viewer, source
        self.shown = [shown for shown, _ in planes]
        height, width = planes[0][1].shape[:2]
        self.block = Block.of(source, self.shown, (height, width))
        self.inserted = task != "super-resolve"  # into data of the source's shape
        self.role = {"in-paint": "restored", "clean": "cleaned"}.get(task) or _finer(self.block.factor)
        kept = [
            RestoredPlane(shown.index if self.inserted else self.block.index(shown), partial(as_stored, result, shown))
            for shown, result in planes
        ]
        self.outcome = Outcome(uuid4().hex[:12], task, source.name, units, tuple(kept))
        earlier = {k.metadata[OUTCOME_KEY].run for k in viewer.layers if _is_run_of(k, source.name, task)}
        number, names = len(earlier) + 1, {layer.name for layer in viewer.layers}
        while number > 1 and result_name(f"{self.role} {number}", source.name) in names:
            number += 1  # that of a run that stays when an earlier one has been deleted
        self.number = f" {number}" if earlier else ""

    def __call__(self, role: str, images: list[npt.NDArray[Any]], extras: Extras) -> Image:
        uncertainty = role in UNCERTAINTIES
        stack = role == "samples"
        data: Any
        if stack and len(images) == 1 and isinstance(images[0], Samples) and images[0].shape[1:] == self.block.shape:
            import dask.array

            data = dask.array.from_array(images[0], chunks=(1, *self.block.shape))  # an image when it is looked at
            place = self.block.place(1)
        elif self.inserted and not stack:
            data, place = self._inserted(role, images), geometry(self.source)
        else:
            data, place = self._stacked(images), self.block.place(int(stack))
        limits = (0.0, float(max(i.max() for i in images)) or 1.0) if uncertainty else self._limits()
        record = self._record(role, extras)
        layer = self.viewer.add_image(
            data,
            name=result_name(f"{role_in_words(record)}{self.number}", self.source.name),
            rgb=False,
            colormap=tint() if uncertainty else self.source.colormap,
            contrast_limits=limits,
            blending="translucent" if uncertainty else "translucent_no_depth",
            opacity=0.5 if uncertainty and self.outcome.task == "clean" else 1.0,  # it covers the whole slice
            visible=role not in _HIDDEN and (self.inserted or not uncertainty),
            metadata=self._metadata(stack) | {"brgm": record, OUTCOME_KEY: self.outcome},
            **place,
        )
        if not uncertainty:
            layer.contrast_limits_range = self.source.contrast_limits_range
            layer.contrast_limits = limits
        return layer

    def _inserted(self, role: str, images: list[npt.NDArray[Any]]) -> Any:
        """Data of the source's shape with these planes, elsewhere the source's, or 0. Lazy data stay lazy.

        Measured values are the source's own, bit for bit, not what became of them in the engine's float32.
        """
        data, keep = stored(self.source), role not in UNCERTAINTIES
        if isinstance(data, np.ndarray):
            kind = exact_type(data) if keep else np.dtype(np.float32)
            array: Any = data.astype(kind) if keep else np.zeros(data.shape, kind)
        else:
            import dask.array

            lazy: Any = data if isinstance(data, dask.array.Array) else dask.array.from_array(data)
            kind = exact_type(lazy) if keep else np.dtype(np.float32)
            # a copy: of data of this kind astype gives the same object back, and the source would change below
            array = lazy.astype(kind).copy() if keep else dask.array.zeros_like(lazy, dtype=kind)
        for plane, shown, image in zip(self.outcome.planes, self.shown, images, strict=True):
            new = as_type(image, kind)
            if keep and plane.result.measured.any():
                new = np.where(plane.result.measured, np.asarray(data[shown.index]).astype(kind), new)
            array[shown.index] = new
        return array

    def _limits(self) -> tuple[float, float]:
        low, high = self.source.contrast_limits
        return float(low), float(high)

    def _stacked(self, images: list[npt.NDArray[Any]]) -> Float:
        """float32 data of the block's shape, with the leading axes of ``images``; between its planes source or 0."""
        leading = images[0].shape[:-2]
        data = np.zeros(leading + self.block.shape, np.float32)
        if self.inserted and len(images) < np.prod([data.shape[-self.source.ndim + axis] for axis in self._across()]):
            ends = self.block.start + self.block.shape
            part = tuple(slice(int(a), int(b)) for a, b in zip(self.block.start, ends, strict=True))
            data[...] = np.asarray(stored(self.source)[part], dtype=np.float32)
        for shown, image in zip(self.shown, images, strict=True):
            data[(..., *self.block.index(shown))] = image
        return data

    def _across(self) -> list[int]:
        first = self.shown[0]
        return [axis for axis in range(self.source.ndim) if axis not in (first.rows, first.columns)]

    def _record(self, role: str, extras: Extras) -> dict[str, Any]:
        """The provenance of this layer: what all slices share, and the rest of each under 'slices'."""
        from napari_brgm.engine.provenance import shared_record

        records = [dict(plane.result.provenance) for plane in self.outcome.planes]
        if role != self.role:  # one file of a run keeps it
            records = [{key: value for key, value in record.items() if key != "mean"} for record in records]
        shared, rest = shared_record(records)
        first = self.shown[0]
        own = {
            "notice": LAYER_NOTICE_ALL if self.outcome.task == "clean" else LAYER_NOTICE,
            "role": role,
            "task": self.outcome.task,
            "run": self.outcome.run,
            "source_layer": self.source.name,
            "units": f"{self.outcome.units}^2" if role == "variance" else self.outcome.units,
            "spacing_mm": None if first.spacing is None else list(first.spacing),
            "slices": [{"index": _plain(s.index)} | r for s, r in zip(self.shown, rest, strict=True)],
        }
        return shared | own | ({"level": extras.level} if role in ("low", "high") else {})

    def _metadata(self, stack: bool) -> dict[str, Any]:
        """Metadata of the source; a scan's affine follows the block."""
        metadata = {
            key: value for key, value in self.source.metadata.items() if key not in ("brgm", OUTCOME_KEY, PINNED_KEY)
        }
        scan = metadata.get("scan")
        if (stack or not self.inserted) and isinstance(scan, dict) and "affine" in scan:
            metadata["scan"] = scan | {"affine": self.block.affine(scan["affine"])}
        return metadata


def tint() -> Colormap:
    """Clear where nothing is uncertain, orange to red where much is."""
    from napari.utils.colormaps import Colormap

    colours = [[1.0, 0.8, 0.2, 0.0], [1.0, 0.5, 0.0, 0.45], [1.0, 0.1, 0.2, 0.7]]
    return Colormap(colours, name="brgm uncertainty", display_name="uncertainty")


def _is_run_of(layer: Any, source: str, task: str) -> bool:
    outcome = layer.metadata.get(OUTCOME_KEY)
    return outcome is not None and (outcome.source, outcome.task) == (source, task)


def _plain(index: tuple[int | slice, ...]) -> list[int | None]:
    return [None if isinstance(i, slice) else int(i) for i in index]


def _finer(factor: npt.NDArray[np.float64]) -> str:
    """'x4': how much finer the result is, along the axis that became finest."""
    finer = sorted({round(float(f), 2) for f in factor if f != 1}, reverse=True)
    return f"x{finer[0]:g}" if finer else "x1"

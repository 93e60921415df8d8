"""The posterior of a run in files: one for each plane, as the shell writes them, and the mask of what is synthetic.

Planes lie as in the images' files: their rows and columns are axes of the file, in its order. Samples of a plane with
measured pixels are those of the others alone. A plane is read when it is first looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from napari.utils.notifications import show_warning

from napari_brgm.calibration import unpack_widths
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.layers.outcome import RestoredPlane, in_gray, kept_mean, outcome_of
from napari_brgm.plugin.layers.scans import axes_in_file, scan_of
from napari_brgm.plugin.layers.shown import stored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari.layers import Image

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers.file_axes import FileAxes, Turn
    from napari_brgm.plugin.layers.outcome import Outcome
    from napari_brgm.plugin.layers.saved_run import SavedPlane
    from napari_brgm.scan import Scan

__all__ = ["RunPosterior", "mask_of", "on_grid_of_run", "opened_plane"]

_NOT_OF_GRID = ("samples", "mask", "preview")  # roles of layers with other axes than the planes of their run


@dataclass(frozen=True, slots=True, eq=False)
class RunPosterior:
    """What a run knows beyond its layers.

    Attributes
    ----------
    base : Image
        A layer on whose data the planes have their places.
    outcome : Outcome
    axes : FileAxes
        Of the base layer.
    """

    base: Image
    outcome: Outcome
    axes: FileAxes

    @classmethod
    def of(cls, layers: Sequence[Image]) -> Self | None:
        """That of the run of these layers; None where nothing is known beyond them, as of files without it.

        Raises
        ------
        InputError
            Its layers cannot be files.
        """
        for layer in layers:
            outcome = outcome_of(layer)
            if outcome is not None and on_grid_of_run(layer.metadata.get("brgm") or {}):
                return cls(layer, outcome, axes_in_file(layer))
        return None

    def place(self, number: int) -> tuple[int | None, ...]:
        """Index of a plane among the voxels of the file; errors as of ``FileAxes.in_file``."""
        return tuple(self.axes.in_file(self.outcome.planes[number].index)[0])

    def write(self, number: int, path: Path) -> None:
        """Write one plane; errors as of ``Restoration.save``."""
        plane = self.outcome.planes[number]
        index, turn = self.axes.in_file(plane.index)
        result = plane.result.turned(turn)
        of_run = {"run": str(self.base.metadata["brgm"].get("run") or ""), "index": index}
        replace(result, provenance=dict(result.provenance) | of_run).save(path)

    def mask(self) -> Scan | None:
        """Where the run's image is synthetic; see ``mask_of``."""
        synthetic = np.zeros(stored(self.base).shape, bool)
        for plane in self.outcome.planes:
            synthetic[plane.index] = plane.free
        return mask_of(self.base, synthetic)


def mask_of(layer: Image, synthetic: npt.NDArray[np.bool_]) -> Scan | None:
    """Where the image of a layer is synthetic, as a scan of booleans; None where it is so everywhere."""
    if synthetic.all():
        return None
    scan = scan_of(layer, synthetic)
    record = scan.provenance or {}
    kept = {key: record[key] for key in ("notice", "task", "run", "source_layer", "software") if key in record}
    return replace(scan, provenance=kept | {"role": "mask", "units": "none"}, units="none")


def on_grid_of_run(record: Mapping[str, Any]) -> bool:
    """Whether the layer of this record has the axes that the planes of its run are placed by."""
    return str(record.get("role") or "") not in _NOT_OF_GRID


def opened_plane(
    saved: SavedPlane, folder: Path, run: str, axes: FileAxes, values: Mapping[str, tuple[Any, Mapping[str, Any]]]
) -> RestoredPlane:
    """A plane of a run that is opened again, of which no file is read yet.

    Parameters
    ----------
    saved : SavedPlane
    folder : Path
        Of the files.
    run : str
        That the plane has to be of.
    axes : FileAxes
        Of the layer on whose data the plane is placed.
    values : mapping
        Role of a layer on that grid -> (its data, its record): what is left to tell where the file is gone or damaged.

    Raises
    ------
    InputError
        There is no such plane in the file.
    """
    index, turn = axes.on_layer(saved.index)
    shape = tuple(n for n, i in zip((*axes.leading, *axes.lengths[3 - axes.space :]), index, strict=True)
                  if isinstance(i, slice))  # fmt: skip

    def load() -> Restoration:
        try:
            return _read(folder / saved.file, run, lambda array: turn(saved.in_file(array)), shape)
        except BrgmError as error:
            show_warning(f"{error}: nothing is known of this slice but what its layers show.")
            return _of_layers(index, values)

    return RestoredPlane(index, load)


def _read(path: Path, run: str, turn: Turn, shape: tuple[int, ...]) -> Restoration:
    from napari_brgm.engine.restoration import Restoration

    if not path.is_file():
        raise InputError(f"{path.name} is no longer there")
    result = in_gray(Restoration.load(path))  # of colours: their axis is none of the plane
    if result.provenance.get("run") != run:
        raise InputError(f"{path.name} is of another run")
    turned = result.turned(turn)
    if turned.shape != shape:
        raise InputError(f"{path.name} does not fit the images beside it")
    return turned


def _of_layers(
    index: tuple[int | slice, ...], values: Mapping[str, tuple[npt.NDArray[Any], Mapping[str, Any]]]
) -> Restoration:
    """A plane without samples; without a number anywhere where there is no variance."""
    from napari_brgm.engine.restoration import Restoration

    role = next((role for role in values if role not in ("variance", "std", "low", "high")), None)
    image, record = (np.asarray(values[role][0][index]), dict(values[role][1])) if role else (None, {})
    if image is None or "variance" not in values:
        shape = np.shape(next(iter(values.values()))[0][index])
        image = variance = np.full(shape, np.nan, np.float32)
        measured = np.zeros(shape, bool)
    else:
        variance = np.asarray(values["variance"][0][index], np.float32)
        measured = variance == 0
    slices = [one for one in record.get("slices", ()) if isinstance(one, dict)]
    record |= slices[0] if len(slices) == 1 else {}
    widths = (record.get("calibration") or {}).get("widths")
    mean = kept_mean(record, image)
    return Restoration(
        estimate=image,
        mean=image if mean is None else np.where(measured, image, mean),
        variance=variance,
        samples=np.empty((0, *image.shape), np.float32),
        latents=np.empty((0, 0), np.float32),
        measured=measured,
        trace=[],
        provenance=record,
        widths=unpack_widths(widths, image.shape) if widths else None,
    )

"""Files -> layers: a file of a saved run brings the whole run back as it was, each other file is a scan.

NIfTI files name the others of their run; files of a result as DICOM refer to each other (``opened_study``).

Layers of a run that are in the window already are not opened twice, as napari hands over several files one by one.
What is missing beside a file is told, and the rest is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.opened_study import layers_of_scans
from napari_brgm.plugin.layers.outcome import OUTCOME_KEY, Outcome, outcome_of
from napari_brgm.plugin.layers.picture_layers import PICTURES, picture_layer
from napari_brgm.plugin.layers.pinned import axes_of, pin
from napari_brgm.plugin.layers.posterior_files import on_grid_of_run, opened_plane
from napari_brgm.plugin.layers.saved_run import SavedRun
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.tag import mark_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_brgm.plugin.layers.file_axes import FileAxes

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["holds_dicom", "holds_runs", "open_paths"]


def open_paths(paths: Sequence[Path]) -> list[Any]:
    """Layer data of files and folders; napari's sign for nothing where all of it is in the window already.

    Raises
    ------
    BrgmError
        A file that was asked for cannot be read.
    """
    opened: list[LayerData] = []
    seen: set[Path] = set()
    for path in paths:
        for one in _asked(path):
            if not isinstance(one, _Files):
                opened += layers_of_scans(one)
            elif one.first not in seen:
                seen.add(one.first)
                opened += one.opened()
    if any("brgm" in settings["metadata"] for _, settings, _ in opened):
        mark_window()
    return opened or [(None,)]


def holds_runs(folder: Path) -> bool:
    """Whether saved runs lie in a folder."""
    return next(_runs_in(folder), None) is not None


def holds_dicom(path: Path) -> bool:
    """Whether this is a DICOM file, or a folder that holds one, by their first bytes."""
    from napari_brgm.scans.dicom_file import looks_like_dicom, opening

    if path.is_dir():
        return any(holds_dicom(p) for p in path.rglob("*") if p.is_file())
    return looks_like_dicom(opening(path))


def _asked(path: Path) -> Iterator[Path | _Files]:
    if path.is_dir():
        runs = list(_runs_in(path))
        if not runs or holds_dicom(path):
            yield path
        yield from runs
        return
    run = SavedRun.beside(path)
    if run is not None and path.name not in run.images:
        _warn(f"{path.name} was renamed since it was saved: the other files of its run are not looked for")
        run = None
    yield path if run is None else _Files(path.parent, run, path.name)


def _runs_in(folder: Path) -> Iterator[_Files]:
    """Each run that lies there, once."""
    seen = set()
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith((".nii", ".nii.gz", *PICTURES)) and path.is_file():
            run = SavedRun.beside(path)
            if run is not None and path.name in run.images and run.layers[0].file not in seen:
                seen.add(run.layers[0].file)
                yield _Files(folder, run)


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one run; ``wanted`` is the one that was asked for, '' for all."""

    folder: Path
    run: SavedRun
    wanted: str = ""

    @property
    def first(self) -> Path:
        return self.folder / self.run.layers[0].file

    def opened(self) -> list[LayerData]:
        """Layers that are not there yet, the lowest first, with what they share.

        Raises
        ------
        BrgmError
            The file that was asked for cannot be read.
        """
        here = _here()
        mine = [here[path] for name in self.run.images if (path := (self.folder / name).absolute()) in here]
        looks = {layer.file: layer.look for layer in self.run.layers}
        found: list[LayerData] = []
        for name in self.run.images:
            if (self.folder / name).absolute() in here:
                continue
            layer = self._read(name)
            if layer is not None:
                _, settings, _ = layer
                settings |= looks.get(name, {"name": result_name("mask", self.run.source), "visible": False})
                found.append(layer)
        if not found:
            show_info(f"{self.wanted or self.first.name} is open already, with its run.")
            return []
        grid = [one for one in found if on_grid_of_run(one[1]["metadata"].get("brgm", {}))]
        outcome = next((o for layer in mine if (o := outcome_of(layer)) is not None), None)
        if grid:
            axes = axes_of(grid[0])
            outcome = self._outcome(axes, grid) if outcome is None else outcome
            if self.run.pinned is not None:
                pin(self.run.pinned, grid)
        for _, settings, kind in found:
            if outcome is not None and kind == "image":
                settings["metadata"][OUTCOME_KEY] = outcome
        return found

    def _read(self, name: str) -> LayerData | None:
        """None where it is missing, of another run or damaged, and was not asked for itself."""
        from napari_brgm.scans import read_scan

        try:
            if not (self.folder / name).is_file() and name != self.wanted:
                _warn(f"{name} is missing beside the other files of its run, which are opened without it")
                return None
            path = self.folder / name
            picture = name.lower().endswith(PICTURES)
            layer = picture_layer(path) if picture else image_layer(*read_scan(path), flat=self.run.flat[name])
        except BrgmError as error:
            if name == self.wanted:
                raise
            _warn(f"{error}; the other files of its run are opened without it")
            return None
        if str(layer[1]["metadata"].get("brgm", {}).get("run") or "") != self.run.run and name != self.wanted:
            _warn(f"{name} is of another run than the files beside it, which are opened without it")
            return None
        return layer

    def _outcome(self, axes: FileAxes, grid: Sequence[LayerData]) -> Outcome | None:
        """What the inspector needs; None where the posterior was not saved, or is not there as a whole."""
        missing = [plane.file for plane in self.run.planes if not (self.folder / plane.file).is_file()]
        if missing:
            _warn(f"{missing[0]} is missing beside the images: there are no samples of them")
        if missing or not self.run.planes:
            return None
        records = {settings["metadata"]["brgm"].get("role", ""): (data, settings) for data, settings, _ in grid}
        values = {role: (data, settings["metadata"]["brgm"]) for role, (data, settings) in records.items()}
        try:
            planes = [opened_plane(p, self.folder, self.run.run, axes, values) for p in self.run.planes]
        except BrgmError as error:
            _warn(f"the samples do not belong to the images: {error}")
            return None
        key = f"{self.run.run} in {self.first}"  # another one than in the session that made it
        return Outcome(key, self.run.task, self.run.source, self.run.units, tuple(planes))


def _here() -> dict[Path, Any]:
    """Results in the window, by the files that they were read from."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        return {}
    computed = [layer for layer in viewer.layers if "brgm" in layer.metadata and layer.source.path]
    return {Path(str(layer.metadata.get("scan", {}).get("source"))).absolute(): layer for layer in computed}


def _warn(sentence: str) -> None:
    show_warning(f"{sentence}.")

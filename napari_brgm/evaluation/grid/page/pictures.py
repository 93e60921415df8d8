"""Pictures of the page: which images and which rivals are shown, by rule, and their tiles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import BrgmError
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.grid.bench import picture_of
from napari_brgm.evaluation.grid.measures import pooled
from napari_brgm.evaluation.grid.page.encoding import data_uri, grey, observation, spread_levels
from napari_brgm.evaluation.grid.page.figures import main_line
from napari_brgm.evaluation.grid.tables import IN_TURN, title_of_task
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.evaluation.method import FAMILIES
from napari_brgm.evaluation.tasks import grid_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.grid.rows import Row
    from napari_brgm.evaluation.grid.tables import MethodLine, Tables
    from napari_brgm.evaluation.tasks import Task

__all__ = ["PictureStrip", "Pictures", "Tile", "shown_rivals"]

_NOT_SEEN = "whole"  # hides nothing: no worst image is looked for there


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture.

    Attributes
    ----------
    title, note : str
        'ours'; 'RMSE 21.3'.
    family : str
        Of the method that made it; '' for what is real.
    pixels : (R, R) or (R, R, 3) uint8 ndarray
    exact : bool
        Whether it is kept without loss.
    uri : str
        Once it is encoded.
    """

    title: str
    note: str
    family: str
    pixels: npt.NDArray[np.uint8]
    exact: bool = False
    uri: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether it looks like a scan and is none; maps in colours do not."""
        return bool(self.family) and self.pixels.ndim == 2

    def encoded(self, quality: int) -> Tile:
        return replace(self, uri=data_uri(self.pixels, None if self.exact else quality))


@dataclass(frozen=True, slots=True, eq=False)
class PictureStrip:
    """The pictures of one image and task: truth, observation and ours; and of rivals."""

    heading: str
    tiles: tuple[Tile, ...]
    rivals: tuple[Tile, ...] = ()

    @property
    def groups(self) -> tuple[tuple[Tile, ...], tuple[Tile, ...]]:
        return self.tiles, self.rivals

    def encoded(self, quality: int) -> PictureStrip:
        ours, rivals = (tuple(tile.encoded(quality) for tile in group) for group in self.groups)
        return replace(self, tiles=ours, rivals=rivals)


def shown_rivals(tables: Tables, name: str, task: str) -> list[MethodLine]:
    """Of each other family the method of the least RMSE on a task, and that of the least perceptual distance."""
    found: list[MethodLine] = []
    for family in FAMILIES:
        lines = [line for line in tables.lines(name) if line.family == family and family != "ours"]
        best = set()
        for measure in ("rmse", "efficientnet"):
            values = [(pooled(tables.of(name, task, line.method), measure), i) for i, line in enumerate(lines)]
            known = [(value, i) for value, i in values if value is not None]
            best |= {min(known)[1]} if known else set()
        found += [lines[i] for i in sorted(best)]
    return found


class Pictures:
    """Pictures of one set.

    Parameters
    ----------
    tables : Tables
    setting : Setting
        Of this set.

    Raises
    ------
    InputError, ScanError
        The set's archive cannot be read, or has no such images.
    """

    def __init__(self, tables: Tables, setting: Setting) -> None:
        self.tables, self.setting, self.name = tables, setting, setting.held.name
        self.ours = main_line(tables, self.name)
        rows = [row for row in tables.rows if row.set == self.name]
        self._subjects = {row.image: row.subject for row in rows}
        self._tasks = {task.name: task for task in grid_tasks(setting.held.framing.resolution)}
        restored = Counter(image for image, _ in {(row.image, row.method) for row in rows})
        most = max(restored.values(), default=0)
        self._common = [image for image in self._subjects if restored[image] == most]
        slices = setting.held.read(setting.data, "validation")
        places = {image: slices.names.index(image) for image in self._subjects if image in slices.names}
        self._truths = dict(zip(places, grey_images(slices, list(places.values())), strict=True)) if places else {}
        self.turned = _turned(setting)

    def samples(self, task: str, count: int) -> list[PictureStrip]:
        """Strips of ``count`` images, evenly spaced among those that most methods restored."""
        known = [image for image in self._common if image in self._truths]
        picked = evenly_spaced(len(known), min(count, len(known))) if known else []
        rivals = shown_rivals(self.tables, self.name, task)
        made = (self._strip(known[i], task, rivals, self._heading(known[i])) for i in picked)
        return [strip for strip in made if len(strip.tiles) > 2 or strip.rivals]

    def worst(self) -> list[PictureStrip]:
        """The tenth of images that came off worst with ours, each on the task where it did, worst first.

        Worst: the largest RMSE over the task's median of all images.
        """
        found: dict[str, tuple[float, Row, float]] = {}
        for task in self.tables.tasks(self.name):
            rows = [] if self.ours is None else self.tables.of(self.name, task, self.ours.method)
            if task in (IN_TURN, _NOT_SEEN) or not rows:
                continue
            middle = median(row.rmse for row in rows)
            for row in rows:
                ratio = row.rmse / middle if middle else 1.0
                if row.image in self._truths and ratio > found.get(row.image, (0.0,))[0]:
                    found[row.image] = ratio, row, middle
        ordered = sorted(found.values(), key=lambda one: -one[0])[: -(-len(found) // 10)]
        strips = []
        for ratio, row, middle in ordered:
            held = "" if row.held_90 is None else f"; its 90 % intervals hold {100 * row.held_90:.0f} % of the pixels"
            heading = (
                f"{self._heading(row.image)}, {title_of_task(row.task)}: RMSE {row.rmse:.1f}, {ratio:.1f} times the "
                f"task’s median of {middle:.1f}{held}"
            )
            strips.append(self._strip(row.image, row.task, [], heading))
        return strips

    def _heading(self, image: str) -> str:
        number = list(self._subjects).index(image) + 1
        return f"Image {number} of {len(self._subjects)} (subject {self._subjects[image]})"

    def _strip(self, image: str, name: str, rivals: Sequence[MethodLine], heading: str) -> PictureStrip:
        task, truth = self._tasks[name], self._truths[image]
        tiles = [
            Tile("truth", "the original", "", grey(truth)),
            Tile("observed", _seen(task), "", observation(task.observe(truth[None])[0], task.missing, task.size), True),
        ]
        if self.ours is not None and (row := self._row(image, name, self.ours.method)) is not None:
            tiles += self._of_ours(row, truth)
        others = []
        for line in rivals:
            row = self._row(image, name, line.method)
            picture = None if row is None else picture_of(self.setting, row)
            if row is not None and picture is not None:
                others.append(Tile(line.title, f"{line.family}, RMSE {row.rmse:.1f}", line.family, grey(picture)))
        groups = (tuple(replace(one, pixels=self._usual(one.pixels)) for one in group) for group in (tiles, others))
        return PictureStrip(heading, *groups)

    def _of_ours(self, row: Row, truth: npt.NDArray[np.float32]) -> list[Tile]:
        made = []
        estimate, sample, std = (picture_of(self.setting, row, what) for what in ("", "sample", "std"))
        if estimate is not None:
            made.append(Tile(row.title, f"RMSE {row.rmse:.1f}", "ours", grey(estimate)))
        if sample is not None:
            drawn = self._row(row.image, row.task, f"{row.method}-sample")
            made.append(
                Tile("ours, a sample", "" if drawn is None else f"RMSE {drawn.rmse:.1f}", "ours", grey(sample))
            )  # fmt: skip
        if std is not None:
            within = std[self._tasks[row.task].region].astype(np.float64)
            note = f"RMS {np.sqrt(np.mean(within**2)):.1f}"  # of a true claim that of the error
            made.append(Tile("claimed error (std)", note, "ours", spread_levels(std)))
        if estimate is not None:
            apart = np.abs(estimate.astype(np.float64) - truth)
            made.append(Tile("true error", f"RMS {row.rmse:.1f}", "ours", spread_levels(apart)))
        return made

    def _row(self, image: str, task: str, method: str) -> Row | None:
        return next((row for row in self.tables.of(self.name, task, method) if row.image == image), None)

    def _usual(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        return np.ascontiguousarray(pixels[::-1, ::-1]) if self.turned else pixels


def _seen(task: Task) -> str:
    if task.missing is not None:
        return f"red: hidden, {100 * task.missing.mean():.0f} %"
    if task.kind == "low-res":
        return f"{task.size // task.factor} × {task.size // task.factor} pixels"
    return f"JPEG, quality {task.quality}" if task.quality is not None else "nothing hidden"


def _turned(setting: Setting) -> bool:
    """Whether images of the set are upside down for who looks at such scans, as the prior of the set says."""
    try:
        return setting.prior is not None and as_prior(setting.prior).info.rotation == 180
    except BrgmError:
        return False

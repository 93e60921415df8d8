"""The measuring stick: every method on every task, one table.

Validation subjects only, the 128 frame, errors pooled over the slices; a finished method and task is not done again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm import __version__
from napari_brgm.errors import InputError
from napari_brgm.evaluation.cache import Cache, Cell
from napari_brgm.evaluation.dataset import Slices, validation_slices
from napari_brgm.evaluation.ours import OURS, Ours, as_prior
from napari_brgm.evaluation.report import Report, Row
from napari_brgm.evaluation.rivals import OPENCV_RIVALS, TrainingSet, opencv, rivals
from napari_brgm.evaluation.scores import score
from napari_brgm.evaluation.sheet import PanelRow, contact_sheet
from napari_brgm.evaluation.tasks import TASKS, Task
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.evaluation.method import Count, Progressed, TableMethod
    from napari_brgm.evaluation.rivals import Rival
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["METHODS", "USUAL", "archives", "measured_cell", "run", "shown"]


METHODS = (
    "telea", "navier-stokes", "biharmonic", "mean-image", "linear-64", "linear-1024", "linear-1024-hard", "bicubic",
    "bicubic-hard", "map", "vi", "paper", "reference",
)  # fmt: skip
USUAL = tuple(name for name in METHODS if name not in ("paper", "reference"))  # 500 steps a slice
_SHEET_TASKS = ("mask-0", "mask-3", "mask-6", "x4")
_SHEET_SLICES = 4
# heading: the first of these methods that did the task
_SHEET_COLUMNS: dict[str, tuple[str, ...]] = {
    "Telea | bicubic": ("telea", "bicubic"),
    "linear-Gaussian": ("linear-1024",),
    "ours, MAP": ("map",),
    "ours, VI mean": ("vi",),
    "BRGM as released": ("reference",),
}
_STD_COLUMN = "ours, std (0..64)"
_SHEET_HEADINGS = ("truth", "observed", *_SHEET_COLUMNS, _STD_COLUMN)


def run(
    data_dir: str | Path,
    out_dir: str | Path,
    prior_name: str | Path | Prior | None,
    quick: bool = False,
    methods: Sequence[str] = USUAL,
    progress: Count | None = None,
    *,
    tasks: Sequence[str] | None = None,
    settings: InferenceSettings | None = None,
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
) -> Report:
    """Measure methods on the tasks; write results.json, results.md and contact_sheet.png, and print the tables.

    Parameters
    ----------
    data_dir : path
        Holds brain_train.zip and brain_validation.zip, or a folder ``brain`` that does.
    out_dir : path
        Made if missing. Call again with the same folder to go on with a run that was cut.
    prior_name : str, path or Prior
        For our methods; None if there are only rivals.
    quick : bool
        8 slices instead of 50.
    methods : sequence of str
        Of ``METHODS``.
    progress : callable, optional
        Called with (cells done, cells in all, what comes next).
    tasks : sequence of str or None
        Names of ``TASKS``; None: all.
    settings, samples, seed, device
        Of ``napari_brgm.restore``.

    Raises
    ------
    InputError
        A method or task has no such name, or ours is asked for without a prior.
    ScanError
        The archives are missing or damaged.
    OutputError
        The folder cannot be made.
    """
    from rich.console import Console

    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError(f"there is no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
    chosen = [task for task in TASKS if tasks is None or task.name in tasks]
    if strange := set(tasks or ()) - {task.name for task in chosen}:
        known = ", ".join(task.name for task in TASKS)
        raise InputError(f"there is no task {min(strange)!r}; choose from {known}")
    data, out = archives(Path(data_dir)), Path(out_dir)
    slices = validation_slices(data / "brain_validation.zip", quick=quick)
    cache = Cache(out / "cache")
    others, notes = _rivals(data, methods)
    own: list[TableMethod] = []
    about: dict[str, Any] = {"slices": len(slices), "version": __version__, "torch": torch.__version__}
    if any(name in OURS for name in methods):
        if prior_name is None:
            raise InputError("our methods need a prior; name one with --prior, or choose only rivals")
        prior = as_prior(prior_name)
        settings = settings or preset(prior.info.preset)
        own = [
            Ours(name, title, how, prior, preset(published) if published else settings, samples, seed, device)
            for name, (title, how, published) in OURS.items()
            if name in methods
        ]
        about |= {**own[0].fingerprint(), "device": device}

    # Ours task by task, so that a cut run has both where it has any.
    work: list[tuple[TableMethod, Task]] = [
        (method, task) for method in others for task in chosen if method.solves(task)
    ]
    work += [(method, task) for task in chosen for method in own]
    cells: dict[str, dict[str, Cell]] = {method.name: {} for method in (*others, *own)}
    for done, (method, task) in enumerate(work):

        def tell(text: str, done: int = done) -> None:
            if progress:
                progress(done, len(work), text)

        cells[method.name][task.name] = measured_cell(method, task, slices, cache, tell)
    rows = [
        Row(method.name, method.title, {task: cell.scores for task, cell in cells[method.name].items()})
        for method in (*others, *own)
    ]
    report = Report(rows, about, notes)
    report.write(out)
    rows_of_sheet = _sheet_rows(slices, [task for task in chosen if task.name in _SHEET_TASKS], cells)
    headings = [heading for heading in _SHEET_HEADINGS if any(heading in row.panels for row in rows_of_sheet)]
    if rows_of_sheet:
        contact_sheet(out / "contact_sheet.png", rows_of_sheet, headings, spread=(_STD_COLUMN,))
    report.show(Console())
    return report


def measured_cell(method: TableMethod, task: Task, slices: Slices, cache: Cache, tell: Callable[[str], None]) -> Cell:
    """Restore the slices with a method and score them; what was done before is taken from ``cache``."""
    fingerprint = {"version": __version__, "slices": slices.keys, **method.fingerprint()}
    tell(f"{method.title}, {task.title}")
    if kept := cache.load(method.name, task.name, fingerprint):
        return kept
    observed = task.observe(slices.images)

    def keep(part: Progressed) -> None:
        if len(part.estimates) < len(slices):
            cache.save_part(method.name, task.name, fingerprint, part)
            tell(f"{method.title}, {task.title}: {len(part.estimates)} of {len(slices)} slices")

    part = method.measure(observed, task, cache.load_part(method.name, task.name, fingerprint), keep)
    finished = task.finish(part.estimates, observed)
    pictures = shown(len(slices))
    cell = Cell(
        score(finished, slices.images, task, part.seconds / len(slices)),
        finished[pictures],
        None if part.stds is None else part.stds[pictures],
    )
    cache.save(method.name, task.name, fingerprint, cell)
    return cell


def _rivals(data: Path, methods: Sequence[str]) -> tuple[list[Rival], list[str]]:
    """Give the chosen rivals that can run here, and a note on each that cannot."""
    chosen = [rival for rival in rivals(TrainingSet(data / "brain_train.zip")) if rival.name in methods]
    if not any(rival.name in OPENCV_RIVALS for rival in chosen):
        return chosen, []
    try:
        opencv()
    except InputError as error:
        return [rival for rival in chosen if rival.name not in OPENCV_RIVALS], [f"Left out: {error}."]
    return chosen, []


def archives(data_dir: Path) -> Path:
    """Find the folder of the brain archives: this one or its ``brain``."""
    inner = data_dir / "brain"
    return inner if (inner / "brain_validation.zip").is_file() else data_dir


def shown(count: int) -> list[int]:
    """Choose the slices of the contact sheet, spread evenly."""
    return [(2 * i + 1) * count // (2 * _SHEET_SLICES) for i in range(_SHEET_SLICES)]


def _sheet_rows(slices: Slices, tasks: Sequence[Task], cells: dict[str, dict[str, Cell]]) -> list[PanelRow]:
    rows = []
    for task in tasks:
        for place, number in enumerate(shown(len(slices))):
            truth = slices.images[number]
            panels = {"truth": truth, "observed": task.observe(truth[None])[0]}
            for heading, names in _SHEET_COLUMNS.items():
                found = [cells[name][task.name] for name in names if task.name in cells.get(name, {})]
                if found:
                    panels[heading] = found[0].pictures[place]
                    if found[0].stds is not None:  # VI's comes last and wins
                        panels[_STD_COLUMN] = found[0].stds[place]
            subject, height = slices.keys[number]
            rows.append(PanelRow(f"{task.title}\nsubject {subject}, {height}", panels))
    return rows

"""The study over the grid: which methods and tasks, rows kept in one file, tables of them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import BrgmError, InputError, OutputError
from napari_brgm.evaluation.given_prior import label_of
from napari_brgm.evaluation.grid.bench import GridBench, base_of
from napari_brgm.evaluation.grid.catalogue import METHODS, Setting, method_of
from napari_brgm.evaluation.grid.doubts import doubts_of
from napari_brgm.evaluation.grid.page import PAGE_FILE, write_page
from napari_brgm.evaluation.grid.rows import ROWS_FILE, joined, read_rows, write_rows
from napari_brgm.evaluation.grid.run import run_grid
from napari_brgm.evaluation.grid.tables import Tables, markdown
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.evaluation.grid.rows import Row
    from napari_brgm.evaluation.grid.run import Tell

__all__ = ["PAGE_FILE", "QUICK_IMAGES", "SLOW", "USUAL", "Wish", "evaluate"]

# methods that take long restore so many images, evenly spaced
SLOW = dict.fromkeys(
    (
        "dip", "diffpir", "pulse", "pulse-restarts", "one-latent", "penalised-z", "lcm", "lcm-field", "lcm-box", "optz",
        "glo", "glo-64", "glo-1024", "glo-map-8", "glo-map-16", "autoencoder", "paper",
        "reference", "invert-wplus", "invert-w", "laplace", "vi",
    ), 10,
)  # fmt: skip
USUAL = tuple(name for name in METHODS if name not in SLOW)
QUICK_IMAGES = 6
TABLES_FILE = "evaluation.md"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes
    ----------
    methods, tasks : tuple of str or None
        None: ``USUAL``, of which those that cannot be had are left out; all tasks.
    processes : int
    slow : int or None
        Images that each of ``SLOW`` restores; None: as it says there.
    strict : bool
        Refuse where a method cannot be had that ``methods`` names; else it is left out, with a note.
    pictured : bool
        Whether the page shows scans and restored slices.
    """

    methods: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    processes: int = 1
    slow: int | None = None
    strict: bool = True
    pictured: bool = True


def evaluate(settings: Sequence[Setting], wish: Wish, tell: Tell | None = None) -> Tables:
    """Measure, and write rows.csv, evaluation.md and index.html into ``out`` of the settings, beside what lies there.

    A run that was cut goes on where it was. Rows of earlier runs stay: methods can be added one by one, and where no
    pictures are wanted ``rows.csv`` alone is enough to go on from.

    Parameters
    ----------
    settings : sequence of Setting
        One for each set; all of one ``out``.
    wish : Wish
    tell : callable, optional
        Gets (done, in all, what comes next) for each set.

    Raises
    ------
    InputError
        A method or task has no such name, or cannot be had.
    ScanError
        An archive is missing or damaged.
    OutputError
        The folder cannot be written.
    """
    out = settings[0].out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {out}: {reason_of(error)}; choose another one with --out") from error
    rows = read_rows(out / ROWS_FILE)
    notes: list[str] = []
    doubts: dict[str, list[str]] = {}
    for setting in settings:
        methods, missing = _chosen_methods(setting, wish)
        notes += missing
        images = setting.count
        fewer = {name: SLOW[name] if wish.slow is None else wish.slow for name in methods if name in SLOW}
        if images is not None:
            fewer = {name: min(count, images) for name, count in fewer.items()}
        bench = GridBench(setting)
        doubts[setting.held.name] = doubts_of(setting, bench.images)
        found = run_grid(
            setting, methods, _chosen_tasks(setting, wish), tell, processes=wish.processes, fewer=fewer,
            earlier=rows, rows_suffice=not wish.pictured, bench=bench,
        )  # fmt: skip
        notes += [f"{setting.held.name}: {failure}" for failure in found.failures]
        rows = joined(rows, found.rows)
        write_rows(out / ROWS_FILE, rows)  # after each set
    tables = Tables(sorted(rows, key=_place), notes, doubts)
    (out / TABLES_FILE).write_text(markdown(tables))
    write_page(tables, settings, _command(settings, wish, rows), pictured=wish.pictured)
    return tables


def _command(settings: Sequence[Setting], wish: Wish, rows: Sequence[Row]) -> str:
    """What to type for all of these rows, without names of anybody's folders."""
    one = settings[0]
    there = {base_of(row.method) for row in rows}
    methods = () if wish.methods is None and there <= set(USUAL) else [name for name in METHODS if name in there]
    priors = [label_of(setting.prior) for setting in settings if setting.prior is not None]
    said = {
        "prior": ",".join(priors), "methods": ",".join(methods) if wish.strict else "all",
        "tasks": ",".join(wish.tasks or ()),
        "images": one.count, "slow": wish.slow, "samples": one.samples, "seed": one.seed,
        "weights": "rivals" if one.weights else None,
    }  # fmt: skip
    given = " ".join(f"--{name} {value}" for name, value in said.items() if value not in (None, ""))
    given += "" if wish.pictured else " --no-pictures"
    return f"napari-brgm evaluate --data data --out evaluation {given}"


def _place(row: Row) -> int:
    """Of a method in tables: the catalogue's order, other images of a method right behind it."""
    order = list(METHODS)
    base = next((name for name in (row.method, row.method.rpartition("-")[0]) if name in METHODS), "")
    return order.index(base) if base else len(order)


def _chosen_methods(setting: Setting, wish: Wish) -> tuple[list[str], list[str]]:
    """Methods, and a sentence for each of the usual ones that cannot be had."""
    if wish.methods is not None and wish.strict:
        for name in wish.methods:
            method_of(name, setting)  # raises where it cannot be had
        return list(dict.fromkeys(wish.methods)), []
    found, notes = [], []
    for name in wish.methods or USUAL:
        try:
            method_of(name, setting)
            found.append(name)
        except BrgmError as error:
            notes.append(f"{setting.held.name}: {name}: {error}")
    return found, notes


def _chosen_tasks(setting: Setting, wish: Wish) -> list[str]:
    known = [task.name for task in grid_tasks(setting.held.framing.resolution)]
    if wish.tasks is None:
        return known
    if strange := [name for name in wish.tasks if name not in known]:
        raise InputError(f"there is no task {strange[0]!r}; choose from {', '.join(known)}")
    return [name for name in known if name in wish.tasks]

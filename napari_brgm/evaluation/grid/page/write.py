"""write_page(): index.html, one file without anything to load, made of the rows and kept pictures of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from napari_brgm import __version__
from napari_brgm.errors import BrgmError, OutputError
from napari_brgm.evaluation.grid.measures import MEASURES
from napari_brgm.evaluation.grid.page.curves import curve_panels
from napari_brgm.evaluation.grid.page.encoding import STD_LIMIT, magma_stops
from napari_brgm.evaluation.grid.page.figures import (
    BOTH,
    cost_table,
    difference_tables,
    figure_table,
    main_line,
    tallies,
)
from napari_brgm.evaluation.grid.page.pictures import Pictures
from napari_brgm.evaluation.grid.tables import IN_TURN, title_of_task, unseen
from napari_brgm.evaluation.method import FAMILIES
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.grid.page.curves import CurvePanel
    from napari_brgm.evaluation.grid.page.figures import CostRow, DifferenceTable, FigureTable, Tally
    from napari_brgm.evaluation.grid.page.pictures import PictureStrip
    from napari_brgm.evaluation.grid.tables import MethodLine, Tables

__all__ = ["PAGE_FILE", "write_page"]

PAGE_FILE = "index.html"
_HERE = Path(__file__).parent
_BUDGET = 4_500_000  # characters of all pictures together
_CHOICES = ((4, 90), (4, 80), (3, 80), (2, 80), (2, 65), (1, 65))  # images of a task, and WebP's quality


@dataclass(frozen=True, slots=True, eq=False)
class SetView:
    """What the page shows of one set.

    Attributes
    ----------
    name, title : str
    images, subjects : int
    unseen : str
        What is known of the subjects.
    doubts : sequence of str
        Why the figures may mean little.
    made, seeds, devices : str
    ours : MethodLine or None
    lines : list of MethodLine
    measures : list of (FigureTable, list of DifferenceTable)
    tallies : list of (str, list of Tally)
        By the title of a measure.
    panels : list of CurvePanel
    costs : list of CostRow
    samples : list of (str, str, list of PictureStrip)
        Name and title of a task.
    worst : list of PictureStrip
    turned : bool
        Whether pictures are turned by half a turn.
    missing : str
        Why there are no pictures.
    """

    name: str
    title: str
    images: int
    subjects: int
    unseen: str
    doubts: Sequence[str]
    made: str
    seeds: str
    devices: str
    ours: MethodLine | None
    lines: list[MethodLine]
    measures: list[tuple[FigureTable, list[DifferenceTable]]]
    tallies: list[tuple[str, list[Tally]]]
    panels: list[CurvePanel]
    costs: list[CostRow]
    samples: list[tuple[str, str, list[PictureStrip]]]
    worst: list[PictureStrip]
    turned: bool
    missing: str


def write_page(tables: Tables, settings: Sequence[Setting], command: str, *, pictured: bool = True) -> Path:
    """Write index.html into ``out`` of the settings.

    Sets of earlier runs, for which there is no setting, are shown without pictures.

    Parameters
    ----------
    tables : Tables
    settings : sequence of Setting
        One for each set, of one ``out``, whose pictures are kept there.
    command : str
        How this was made.
    pictured : bool
        False: figures and curves alone, for a page that goes where scans may not.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    left_out = dict.fromkeys(tables.sets, "they were left out on request, since they show scans")
    pictures, missing = _pictures(tables, settings) if pictured else ({}, left_out)
    samples, quality, count = _samples(pictures, tables)
    titles = {setting.held.name: setting.held.title for setting in settings}
    views = [
        _view(tables, name, titles.get(name, ""), pictures.get(name), samples.get(name, []), missing.get(name, ""),
              quality)
        for name in tables.sets
    ]  # fmt: skip
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("page.html.jinja").render(
        sets=views, families=FAMILIES, notes=tables.notes, command=command, version=__version__, quality=quality,
        pictured=bool(pictures), count=count, std_limit=int(STD_LIMIT), stops=", ".join(magma_stops()),
        style=(_HERE / "page.css").read_text("utf-8"), script=(_HERE / "page.js").read_text("utf-8"),
    )  # fmt: skip
    path = settings[0].out / PAGE_FILE
    try:
        with whole_file(path) as draft:
            draft.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}; choose another folder with --out") from error
    return path


def _pictures(tables: Tables, settings: Sequence[Setting]) -> tuple[dict[str, Pictures], dict[str, str]]:
    """Of each set whose pictures can be had, and why not of the others."""
    by_name = {setting.held.name: setting for setting in settings}
    found: dict[str, Pictures] = {}
    missing: dict[str, str] = {}
    for name in tables.sets:
        if name not in by_name:
            missing[name] = (
                "this set was measured by an earlier command; name its prior too, and its pictures come back"
            )
            continue
        try:
            found[name] = Pictures(tables, by_name[name])
        except BrgmError:  # what it says may name somebody's folders
            missing[name] = "the images of this set could not be read again"
    return found, missing


def _samples(
    pictures: dict[str, Pictures], tables: Tables
) -> tuple[dict[str, list[tuple[str, str, list[PictureStrip]]]], int, int]:
    """Samples of each set by task, with as many images and as well kept as fits; the quality; how many."""
    for count, quality in _CHOICES:
        found: dict[str, list[tuple[str, str, list[PictureStrip]]]] = {}
        length = 0
        for name, of_set in pictures.items():
            for task in tables.tasks(name):
                if task == IN_TURN or length > _BUDGET:
                    continue
                strips = [strip.encoded(quality) for strip in of_set.samples(task, count)]
                length += sum(len(tile.uri) for strip in strips for group in strip.groups for tile in group)
                if strips:
                    found.setdefault(name, []).append((task, title_of_task(task), strips))
        if length <= _BUDGET:
            break
    return found, quality, count


def _view(
    tables: Tables, name: str, title: str, pictures: Pictures | None,
    samples: list[tuple[str, str, list[PictureStrip]]], missing: str, quality: int,
) -> SetView:  # fmt: skip
    rows = [row for row in tables.rows if row.set == name]
    made = sorted({f"{row.version} (commit {row.commit})" if row.commit else row.version for row in rows})
    measures = [
        (figure_table(tables, name, one), difference_tables(tables, name, one)) for one in tables.measures(name)
    ]
    return SetView(
        name=name, title=title, images=len({row.image for row in rows}), subjects=len({row.subject for row in rows}),
        unseen=unseen(name), doubts=tables.doubts.get(name, ()),
        made=", ".join(made), seeds=", ".join(sorted({str(row.seed) for row in rows})),
        devices=", ".join(sorted({f"torch {row.torch}, {row.device}" for row in rows})), ours=main_line(tables, name),
        lines=tables.lines(name), measures=measures,
        tallies=[
            (MEASURES[figures.measure].title, tallies(tables, name, differences[0]))
            for figures, differences in measures if figures.measure in BOTH and differences
        ],
        panels=curve_panels(tables, name), costs=cost_table(tables, name), samples=samples,
        worst=[strip.encoded(quality) for strip in pictures.worst()] if pictures else [],
        turned=pictures is not None and pictures.turned, missing=missing,
    )  # fmt: skip

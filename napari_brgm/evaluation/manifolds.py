"""Latent convolutional models beside their rivals and StyleGAN2: the table of LCM Sec. 4, on brain slices.

Validation subjects only, the 128 frame. The rivals are the same network with another latent (training/lcm.py), shown as
many slices; ``--rivals`` names the folder of their weights. Everything is restored without the residual field, but in
the rows that say so: it is not the manifold's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_brgm import __version__
from napari_brgm.errors import InputError
from napari_brgm.evaluation.cache import Cache
from napari_brgm.evaluation.dataset import PROTOCOL_STRIDE, read_brain_slices
from napari_brgm.evaluation.ours import Ours
from napari_brgm.evaluation.report import Report, Row
from napari_brgm.evaluation.rivals import TrainingSet, rivals
from napari_brgm.evaluation.sheet import PanelRow, contact_sheet
from napari_brgm.evaluation.table import archives, measured_cell, shown
from napari_brgm.evaluation.tasks import SPARSE, TASKS
from napari_brgm.settings import preset
from napari_brgm.zoo.files import read_prior
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.evaluation.cache import Cell
    from napari_brgm.evaluation.dataset import Slices
    from napari_brgm.evaluation.method import Count, TableMethod
    from napari_brgm.priors.prior import Prior

__all__ = ["MANIFOLD_TASKS", "RIVALS", "run"]

MANIFOLD_TASKS = (*TASKS[:7], SPARSE, *TASKS[7:])
RIVALS = {
    "lcm": "LCM, trained as short as the rivals", "optz": "OptZ: the latent map itself", "glo": "GLO: a vector",
    "autoencoder": "autoencoder's latent",
}  # fmt: skip
_OURS, _STYLEGAN2, _UNTRAINED = "brain-axial-lcm-128", "brain-axial-128", "deep-image"
_LINEAR = ("linear-64", "linear-1024", "linear-1024-hard")


def run(
    data_dir: Path, out_dir: Path, rivals_dir: Path | None, count: int, tasks: tuple[str, ...],
    progress: Count | None = None, *, samples: int = 4, seed: int = 0, device: str = "auto",
) -> Report:  # fmt: skip
    """Measure; write results.json, results.md and contact_sheet.png.

    Parameters
    ----------
    data_dir, out_dir : Path
        As of ``table.run``.
    rivals_dir : Path or None
        Holds weights files named after ``RIVALS``; those that are missing are left out.
    count : int
        Evenly spread slices of the protocol's 50.
    tasks : tuple of str
        Names of ``MANIFOLD_TASKS``.
    progress : callable, optional
        Called with (cells done, cells in all, what comes next).

    Raises
    ------
    InputError
        There is no such task or none at all, or the slices asked for are not 1 to 50.
    ScanError, OutputError
        As of ``table.run``.
    """
    chosen = [task for task in MANIFOLD_TASKS if task.name in tasks]
    if unknown := set(tasks) - {task.name for task in chosen}:
        known = ", ".join(task.name for task in MANIFOLD_TASKS)
        raise InputError(f"there is no task {min(unknown)!r}; choose from {known}")
    if not chosen:
        raise InputError("choose at least one task")
    if not 1 <= count <= 50:
        raise InputError(f"choose 1 to 50 slices, got {count}")
    data = archives(data_dir)
    fifty = read_brain_slices(data / "brain_validation.zip", PROTOCOL_STRIDE)
    slices = fifty[:: -(-len(fifty) // count)]
    methods, notes = _methods(data, rivals_dir, {"samples": samples, "seed": seed, "device": device})
    cache = Cache(out_dir / "cache")
    work = [(method, task) for method in methods for task in chosen if method.solves(task)]
    cells: dict[str, dict[str, Cell]] = {method.name: {} for method in methods}
    for done, (method, task) in enumerate(work):

        def tell(text: str, done: int = done) -> None:
            if progress:
                progress(done, len(work), text)

        cells[method.name][task.name] = measured_cell(method, task, slices, cache, tell)
    rows = [Row(m.name, m.title, {task: cell.scores for task, cell in cells[m.name].items()}) for m in methods]
    about = {"slices": len(slices), "version": __version__, "samples": samples, "seed": seed}
    report = Report(rows, about, notes, chosen)
    report.write(out_dir)
    _sheet(out_dir / "contact_sheet.png", slices, methods, cells, [t.name for t in chosen])
    return report


def _methods(data: Path, rivals_dir: Path | None, how: dict[str, Any]) -> tuple[list[TableMethod], list[str]]:
    """Rows of the table, and notes on what is left out."""
    linear: list[TableMethod] = [r for r in rivals(TrainingSet(data / "brain_train.zip")) if r.name in _LINEAR]
    notes: list[str] = []

    def ours(name: str, title: str, prior: Prior, preset_name: str | None = None, field: bool = False) -> Ours:
        settings = preset(preset_name or prior.info.preset).but(residual_field=field)
        return Ours(name, title, "map", prior, settings, **how)

    manifold, style = load_prior(_OURS), load_prior(_STYLEGAN2)
    found: list[TableMethod] = [
        *linear,
        ours("stylegan2-field", "StyleGAN2 (brain-axial-128) with its residual field", style, field=True),
        ours("stylegan2", "StyleGAN2 (brain-axial-128)", style),
        ours("lcm-shipped-field", f"LCM ({_OURS}) with its residual field", manifold, field=True),
        ours("lcm-shipped", f"LCM ({_OURS})", manifold),
        ours("lcm-shipped-box", f"LCM ({_OURS}), all of phi in its box, as in the paper", manifold, "box"),
    ]
    for name, title in RIVALS.items():
        path = None if rivals_dir is None else rivals_dir / f"{name}.safetensors"
        if path is None or not path.is_file():
            notes.append(f"Left out: {title}; its weights are not in --rivals.")
            continue
        found.append(ours(name, title, read_prior(path)))
        if name in ("lcm", "optz"):
            found.append(ours(f"{name}-box", f"{title}, free in its box", read_prior(path), "box"))
    found.append(ours("dip", "Deep Image Prior (untrained)", load_prior(_UNTRAINED)))
    return found, notes


def _sheet(
    path: Path, slices: Slices, methods: list[TableMethod], cells: dict[str, dict[str, Cell]], tasks: list[str]
) -> None:
    """Truth, observation and methods side by side, two slices a task."""
    rows = []
    for task in (task for task in MANIFOLD_TASKS if task.name in tasks):
        for place, number in list(enumerate(shown(len(slices))))[1:3]:
            truth = slices.images[number]
            panels = {"truth": truth, "observed": task.observe(truth[None])[0]}
            panels |= {m.name: cells[m.name][task.name].pictures[place] for m in methods if task.name in cells[m.name]}
            rows.append(PanelRow(task.title, panels))
    contact_sheet(path, rows, ["truth", "observed", *(m.name for m in methods)])

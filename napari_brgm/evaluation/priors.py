"""The table of priors: each on the validation subjects of its own set, beside the linear-Gaussian rival of that set.

Reconstruction (inversion in W+ and W), in-painting with seven masks, super-resolution x2, x4, x8, and samples as a
crowd. Every finished part is kept in the cache folder: a run that was cut goes on, and a new prior costs only its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm import __version__
from napari_brgm.errors import InputError
from napari_brgm.evaluation.cache import Cache, Cell
from napari_brgm.evaluation.frechet import frechet_distance
from napari_brgm.evaluation.held_out import SETS, HeldOutSet, evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.linear_rival import fit_components, restore_linearly, tuned_choices
from napari_brgm.evaluation.ours import as_prior
from napari_brgm.evaluation.prior_cells import (
    FRECHET_SAMPLES,
    SHEET_IMAGES,
    HowToInfer,
    PriorCells,
    draw_samples,
    shown,
)
from napari_brgm.evaluation.prior_report import PriorReport, PriorRow
from napari_brgm.evaluation.prior_sheet import prior_sheet
from napari_brgm.evaluation.scores import score
from napari_brgm.evaluation.tasks import tasks_of_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.linear_rival import Choices
    from napari_brgm.evaluation.method import Count
    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.prior import Prior

    Images = npt.NDArray[np.float32]

__all__ = ["DEFAULT_SLICES", "run"]

# brain-axial-128 took 33 s of one core an image (18 for ten restorations by MAP, 15 for two inversions), 5 s for its
# samples and, once, 60 s for the rival: under 8 minutes in all
DEFAULT_SLICES = 12
_PARTS_OF_A_PRIOR = 13  # samples, two inversions, ten tasks
_PARTS_OF_A_SET = 5  # for the bar: fit and ten instant restorations


def run(
    data_dir: str | Path,
    out_dir: str | Path,
    priors: Sequence[str | Path | Prior],
    slices: int = DEFAULT_SLICES,
    progress: Count | None = None,
    *,
    how: HowToInfer | None = None,
    sets: Sequence[HeldOutSet] = SETS,
) -> PriorReport:
    """Measure priors; write results.json, results.md and a contact sheet each, and print the summary.

    Parameters
    ----------
    data_dir : path
        Holds the sets' folders ('brain', 'xray').
    out_dir : path
        Made if missing. Call again with the same folder to go on with a run that was cut, or to add priors.
    priors : sequence of str, path or Prior
        Rows of the table.
    slices : int
        Held-out images of each set, evenly spaced.
    progress : callable, optional
        Called with (parts done, parts in all, what comes next).
    how : HowToInfer, optional
    sets : sequence of HeldOutSet

    Raises
    ------
    InputError
        Two priors have one name, a prior fits none of the sets, or there are fewer images than asked for.
    ScanError
        An archive is missing or damaged.
    OutputError
        The folder cannot be made.
    """
    from rich.console import Console

    data, out, how = Path(data_dir), Path(out_dir), how or HowToInfer()
    loaded = _loaded(priors)
    chosen = {label: set_of(prior, sets) for label, prior in loaded.items()}
    cache = Cache(out / "cache")
    distinct = {held.name: held for held in chosen.values()}
    counter = _Counter(progress, _PARTS_OF_A_PRIOR * len(loaded) + _PARTS_OF_A_SET * len(distinct))
    measured = {name: _Validation(held, data, slices, cache, counter, how.seed) for name, held in distinct.items()}
    rows: list[PriorRow] = []
    report = PriorReport(rows, _about(how, slices))
    for label, prior in loaded.items():
        row = _row(label, prior, measured[chosen[label].name], how, cache, counter, out)
        rows.append(row)
        report.write(out)  # after each, so that a cut run has the rows it finished
    report.show(Console())
    return report


class _Counter:
    """Counts finished parts and tells what comes next."""

    def __init__(self, progress: Count | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def tell(self, text: str) -> None:
        if self.progress:
            self.progress(self.done, self.total, text)

    def finished(self, parts: int = 1) -> None:
        self.done += parts


class _Validation:
    """The held-out images of a set, its tasks, and the linear rival's scores on them."""

    def __init__(self, held: HeldOutSet, data: Path, slices: int, cache: Cache, counter: _Counter, seed: int) -> None:
        counter.tell(f"{held.name}: reading the validation images")
        every = held.read(data, "validation")
        pick = evenly_spaced(len(every), slices)
        self.held, self.every = held, grey_images(every)
        self.truth = self.every[pick]
        self.names = [every.names[i] for i in pick]
        self.tasks = tasks_of_size(held.framing.resolution)
        self.about: dict[str, Any] = {"version": __version__, "set": held.name, "images": self.names}
        label = f"linear--{held.name}"
        wanted = {**self.about, "real": len(every), "seed": seed}
        figures = cache.load_record(label, wanted)
        cells = {task.name: cache.load(label, task.name, self.about) for task in self.tasks}
        if figures is None or any(cell is None for cell in cells.values()):
            figures = self._measure(label, data, cache, counter, seed)
            cache.save_record(label, wanted, figures)
            cells = {task.name: cache.load(label, task.name, self.about) for task in self.tasks}
        self.figures = figures
        self.cells: dict[str, Cell] = {name: cell for name, cell in cells.items() if cell is not None}
        counter.finished(_PARTS_OF_A_SET)

    def _measure(self, label: str, data: Path, cache: Cache, counter: _Counter, seed: int) -> dict[str, Any]:
        """Fit the rival, keep its cells, and give its figures."""
        counter.tell(f"{self.held.name}: reading the training images")
        training = self.held.read(data, "training")
        choices = self.held.linear or self._tuned(label, training, cache, counter)
        components = min(max(k for k, _ in choices.values()), len(training) - 1)
        counter.tell(f"{self.held.name}: linear-Gaussian rival, {components} components")
        model = fit_components(training, components)
        for task in self.tasks:
            observed = task.observe(self.truth)
            restored = restore_linearly(observed, task, model, choices[task.name])
            cell = Cell(score(restored, self.truth, task, 0.0), restored[shown(len(restored))])
            cache.save(label, task.name, self.about, cell)
        some = evenly_spaced(len(training), min(FRECHET_SAMPLES, len(training)))
        return {
            "training_images": len(training),
            "training_subjects": len(training.subject_names),
            "components": components,
            "choices": {name: list(choice) for name, choice in choices.items()},
            "frechet_training": frechet_distance(grey_images(training, some), self.every),
            "frechet_linear": frechet_distance(_linear_samples(model, seed), self.every),
        }

    def _tuned(self, label: str, training: SliceSet, cache: Cache, counter: _Counter) -> Choices:
        """Tuned components and noise, which do not depend on the held-out images and are kept for all runs."""
        fingerprint = {"version": __version__, "set": self.held.name, "training": len(training)}
        kept = cache.load_record(f"{label}--tuning", fingerprint)
        if kept is None:
            kept = {name: list(choice) for name, choice in tuned_choices(training, self.tasks, counter.tell).items()}
            cache.save_record(f"{label}--tuning", fingerprint, kept)
        return {name: (int(components), float(noise)) for name, (components, noise) in kept.items()}


def _row(
    label: str, prior: Prior, validation: _Validation, how: HowToInfer, cache: Cache, counter: _Counter, out: Path
) -> PriorRow:
    cells = PriorCells(label, prior, validation.truth, validation.about, how, cache)
    frechet = cells.samples_distance(validation.every, counter.tell)
    counter.finished()
    reconstructed: dict[str, Cell] = {}
    for space in ("w+", "w"):
        reconstructed[space] = cells.reconstruction("w+" if space == "w+" else "w", counter.tell)
        counter.finished()
    restored: dict[str, dict[str, Cell]] = {kind: {} for kind in how.kinds}
    for task in validation.tasks:
        for kind, cell in cells.restoration(task, counter.tell).items():
            restored[kind][task.name] = cell
        counter.finished()
    samples = draw_samples(cells.prior, 2 * SHEET_IMAGES, how.seed)
    prior_sheet(out / f"{label}.png", validation.truth, validation.every, samples, validation.tasks,
                reconstructed, restored, validation.cells)  # fmt: skip
    figures = validation.figures
    return PriorRow(
        label=label,
        set_name=validation.held.name,
        resolution=prior.resolution,
        images=validation.names,
        reconstruction={space: cell.scores for space, cell in reconstructed.items()},
        restored={kind: {task: cell.scores for task, cell in found.items()} for kind, found in restored.items()},
        linear={task: cell.scores for task, cell in validation.cells.items()},
        frechet={
            "samples": frechet, "training images": figures["frechet_training"], "linear": figures["frechet_linear"]
        },
        about={
            "weights_sha256": prior.info.weights_sha256,
            "settings": how.settings_for(prior).as_dict(),
            "linear rival": {key: value for key, value in figures.items() if not key.startswith("frechet")},
        },
    )  # fmt: skip


def _loaded(priors: Sequence[str | Path | Prior]) -> dict[str, Prior]:
    """Priors by a label that can name a file."""
    if not priors:
        raise InputError("there is no prior to measure; name one or more")
    loaded: dict[str, Prior] = {}
    for given in priors:
        prior = as_prior(given)
        name = Path(given).name.removesuffix(".safetensors") if isinstance(given, str | Path) else prior.info.name
        label = re.sub(r"[^\w.-]+", "-", name)
        if label in loaded:
            raise InputError(f"two priors are called {label}; measure them one by one, each with its own --out")
        loaded[label] = prior
    return loaded


def _linear_samples(model: LinearGaussian, seed: int) -> Images:
    """Draws of the rival with its pixel noise, grey levels 0..255."""
    images = model.sample(FRECHET_SAMPLES, seed)[:, 0]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed + 1)) * model.noise_variance**0.5
    grey: Images = (127.5 * (images + noise + 1)).clamp(0, 255).numpy()
    return grey


def _about(how: HowToInfer, slices: int) -> dict[str, Any]:
    return {
        "version": __version__, "torch": torch.__version__, "images of each set": slices, "method": how.method,
        "samples": how.samples, "seed": how.seed, "device": how.device, "inversion steps": how.inversion_steps,
    }  # fmt: skip

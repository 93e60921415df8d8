"""The table of priors: each on the validation subjects of its own set, beside the linear-Gaussian rival of that set.

A report over the grid (grid/run.py), whose cells are kept in the out folder: reconstruction in W+ and W, seven masks,
super-resolution x2, x4, x8; and samples as a crowd (frechet.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm import __version__
from napari_brgm.errors import InputError
from napari_brgm.evaluation.frechet import frechet_distance
from napari_brgm.evaluation.given_prior import as_prior, label_of
from napari_brgm.evaluation.grid.catalogue import Setting
from napari_brgm.evaluation.grid.linear import Learned
from napari_brgm.evaluation.grid.run import run_grid
from napari_brgm.evaluation.held_out import SETS, HeldOutSet, evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.kept import KeptCells
from napari_brgm.evaluation.prior_report import PriorReport, PriorRow
from napari_brgm.evaluation.prior_sheet import prior_sheet
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings, Method

    Images = npt.NDArray[np.float32]
    Tell = Callable[[int, int, str], None]

__all__ = ["DEFAULT_SLICES", "HowToInfer", "run"]

# brain-axial-128 took 33 s of one core an image (18 for ten restorations by MAP, 15 for two inversions), 5 s for its
# samples and, once, 60 s for the rival: under 8 minutes in all
DEFAULT_SLICES = 12
_FRECHET_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class HowToInfer:
    """How restorations are made; the fields are those of ``napari_brgm.restore``.

    ``settings`` None: the preset that suits the prior; ``steps`` None: as many as the settings say.
    """

    method: Method = "map"
    settings: InferenceSettings | None = None
    samples: int = 16  # the mean of the draws is the posterior mean of the table
    seed: int = 0
    device: str = "auto"
    steps: int | None = None

    def settings_for(self, prior: Prior) -> InferenceSettings:
        """The settings with which this prior restores."""
        found = self.settings or preset(prior.info.preset)
        return found if self.steps is None else found.but(steps=self.steps)


def run(
    data_dir: str | Path, out_dir: str | Path, priors: Sequence[str | Path | Prior], slices: int = DEFAULT_SLICES,
    progress: Tell | None = None, *, how: HowToInfer | None = None, sets: Sequence[HeldOutSet] = SETS,
    processes: int = 1,
) -> PriorReport:  # fmt: skip
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
        Called with (parts done, parts in all, what comes next) for each prior.
    how : HowToInfer, optional
    sets : sequence of HeldOutSet
    processes : int
        Of the restorations; more than one where priors are given by name or path.

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
    chosen = {label: set_of(prior, sets) for label, (_, prior) in loaded.items()}
    rows: list[PriorRow] = []
    report = PriorReport(rows, _about(how, slices))
    for label, (given, prior) in loaded.items():
        setting = Setting(
            chosen[label], data, out / label, given, slices, how.samples, how.seed, how.device,
            how.settings_for(prior), learned=out / "learned",
        )  # fmt: skip
        rows.append(_row(label, prior, setting, how, progress, processes))
        report.write(out)  # after each, so that a cut run has the rows it finished
    report.show(Console())
    return report


def _row(
    label: str, prior: Prior, setting: Setting, how: HowToInfer, progress: Tell | None, processes: int
) -> PriorRow:
    own = "ours" if how.method == "map" else how.method
    tasks = tasks_of_size(setting.held.framing.resolution)
    found = run_grid(
        setting, ("linear", own, "invert-wplus", "invert-w"), [*(task.name for task in tasks), "whole"], progress,
        processes=processes,
    )  # fmt: skip
    if found.failures:
        raise InputError(f"{label} cannot be measured: {found.failures[0]}")
    learned = Learned(setting.held, setting.data, setting.learned_folder)
    every = grey_images(setting.held.read(setting.data, "validation"))
    choices = learned.choices()
    row = PriorRow(
        label, setting.held.name, prior.resolution, found.rows, _frechet(prior, setting, learned, every),
        {
            "weights_sha256": prior.info.weights_sha256,
            "settings": how.settings_for(prior).as_dict(),
            "linear rival": {task.name: list(choices[task.name]) for task in tasks},
        },
    )  # fmt: skip
    sheet = setting.out.parent / f"{label}.png"
    prior_sheet(sheet, setting, row, every, draw_samples(prior, 16, how.seed), tasks)
    return row


def _frechet(prior: Prior, setting: Setting, learned: Learned, every: Images) -> dict[str, float]:
    """Distances to all validation images of samples, of training images (the floor) and of the linear samples."""
    cells = KeptCells(setting.learned_folder)
    found = {}
    for what, about in (
        ("samples", {"weights_sha256": prior.info.weights_sha256}), ("training images", {}), ("linear", {})
    ):  # fmt: skip
        name = f"{setting.held.name}-frechet-{what}-{about.get('weights_sha256') or ''}"
        fingerprint = {"set": setting.held.name, "real": len(every), "seed": setting.seed, **about}
        kept = cells.load(name, fingerprint)
        if kept is None:
            distance = frechet_distance(_crowd(what, prior, learned, setting.seed), every)
            cells.save(name, fingerprint, {}, {"distance": distance})
            found[what] = distance
        else:
            found[what] = float(kept.record["distance"])
    return found


def _crowd(what: str, prior: Prior, learned: Learned, seed: int) -> Images:
    if what == "samples":
        return draw_samples(prior, _FRECHET_SAMPLES, seed)
    if what == "linear":
        return _linear_samples(learned.model(), seed)
    training = learned.training
    return grey_images(training, evenly_spaced(len(training), min(_FRECHET_SAMPLES, len(training))))


def draw_samples(prior: Prior, count: int, seed: int) -> Images:
    """Draw images (count, R, R) in grey levels 0..255: G(w), and where the prior models it what G cannot draw."""
    images = 127.5 * (prior.sample(count, seed).mean(dim=1) + 1)
    if prior.parts.residual is not None:
        images = images + prior.parts.residual.sample(count, torch.Generator().manual_seed(seed + 1))[:, 0]
    grey: Images = images.clamp(0, 255).float().cpu().numpy()
    return grey


def _linear_samples(model: LinearGaussian, seed: int) -> Images:
    """Draws of the rival with its pixel noise, grey levels 0..255."""
    images = model.sample(_FRECHET_SAMPLES, seed)[:, 0]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed + 1)) * model.noise_variance**0.5
    grey: Images = (127.5 * (images + noise + 1)).clamp(0, 255).numpy()
    return grey


def _loaded(priors: Sequence[str | Path | Prior]) -> dict[str, tuple[str | Path | Prior, Prior]]:
    """Priors, as given and loaded, by a label that can name a file."""
    if not priors:
        raise InputError("there is no prior to measure; name one or more")
    loaded: dict[str, tuple[str | Path | Prior, Prior]] = {}
    for given in priors:
        label = label_of(given)
        if label in loaded:
            raise InputError(f"two priors are called {label}; measure them one by one, each with its own --out")
        loaded[label] = given, as_prior(given)
    return loaded


def _about(how: HowToInfer, slices: int) -> dict[str, Any]:
    return {
        "version": __version__, "torch": torch.__version__, "images of each set": slices, "method": how.method,
        "samples": how.samples, "seed": how.seed, "device": how.device,
    }  # fmt: skip

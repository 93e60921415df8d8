"""The finish, measured on held-out slices: draws of the prior, and posterior draws in holes and of coarse slices.

Kinds of posterior draws: 'plain', what the generator draws, without residual field; 'before', as statistics are made
of them (with it, calibrated); 'finished'. One draw against the truth: 1 - MS-SSIM and GMSD of the whole slice. All
draws: RMSE of their mean, spread, CRPS and share of what was hidden within the mean and 1.645 standard deviations, in
tissue that was hidden. 'seam': step across the rim over the truth's. Rows are kept as they come, and a cut run goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.calibration import TISSUE
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.explore import draw
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.evaluation.copying import nearest_training
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.masks import paper_masks
from napari_brgm.evaluation.metrics import gmsd, ms_ssim_distance
from napari_brgm.evaluation.seam import seam_sums
from napari_brgm.evaluation.texture import Texture, texture_of
from napari_brgm.scoring import crps_samples
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["FINISH_TASKS", "FinishStudy"]

FINISH_TASKS = (*(f"mask-{i}" for i in range(7)), "x2", "x4", "x8")
_KINDS: dict[str, dict[str, bool]] = {
    "plain": {"finish": False, "residual_field": False, "calibrate": False},
    "before": {"finish": False},
    "finished": {},
}
_GAUSSIAN_90 = 1.645
_ONE = 4  # draws that are compared one by one

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class _Row:
    """Figures of one slice and kind."""

    ms_ssim: float
    gmsd: float
    rmse: float
    spread: float
    crps: float
    covered: float
    seam: float | None
    seconds: float


class FinishStudy:
    """Measures a prior with a finish; rows are kept in ``finish.jsonl``.

    Parameters
    ----------
    prior : Prior
    data : Path
        Folder with the sets.
    out : Path
    slices : int
        Held-out slices of each task, evenly spaced.
    draws : int
        Of the prior, against as many held-out slices.
    samples, seed : int

    Raises
    ------
    InputError
        The prior has no finish.
    """

    def __init__(
        self, prior: Prior, data: Path, out: Path, slices: int, draws: int, samples: int, seed: int
    ) -> None:  # fmt: skip
        if prior.parts.finish is None:
            raise InputError(f"{prior.info.name} has no network to finish draws with; choose another prior")
        self.set, self.data = set_of(prior), data
        held = self.set.read(data, "validation")
        self.prior, self.samples, self.seed = prior, samples, seed
        self.picked = evenly_spaced(len(held.images), slices)
        self.truth = list(grey_images(held, self.picked))
        several = evenly_spaced(len(held.images), min(draws, len(held.images)))
        self.real, self.subjects = np.stack(list(grey_images(held, several))), held.subjects[several]
        self.file = out / "finish.jsonl"
        self.mark = {"prior": prior.info.weights_sha256, "samples": samples, "seed": seed}
        self.rows: dict[tuple[str, int, str], _Row] = {}
        if self.file.is_file():
            for line in self.file.read_text().splitlines():
                kept = json.loads(line)
                if kept["mark"] == self.mark:
                    self.rows[kept["task"], kept["slice"], kept["kind"]] = _Row(**kept["row"])

    def run(self, tasks: Sequence[str], tell: Tell | None = None) -> None:
        """Measure what is not there yet.

        Raises
        ------
        InputError
            There is no such task.
        """
        wrong = [task for task in tasks if task not in FINISH_TASKS]
        if wrong:
            raise InputError(f"there is no task {wrong[0]!r}; choose from {', '.join(FINISH_TASKS)}")
        work = [(task, n, kind) for n in range(len(self.truth)) for task in tasks for kind in _KINDS]
        for number, (task, n, kind) in enumerate(work):
            index = int(self.picked[n])
            if (task, index, kind) not in self.rows:
                row = self._measured(task, self.truth[n], kind)
                self.rows[task, index, kind] = row
                with self.file.open("a") as file:
                    kept = {"mark": self.mark, "task": task, "slice": index, "kind": kind, "row": asdict(row)}
                    file.write(json.dumps(kept) + "\n")
            if tell is not None:
                tell(number + 1, len(work), f"{task}, {kind}")

    def _measured(self, task: str, truth: npt.NDArray[np.float32], kind: str) -> _Row:
        f, seen, hidden = _observed(task, truth)
        settings = preset(self.prior.info.preset).but(**_KINDS[kind])
        began = time.process_time()
        found = restore(seen, f, self.prior, samples=self.samples, seed=self.seed, device="cpu", settings=settings)
        seconds = time.process_time() - began
        drawn = np.clip(np.asarray(found.samples), 0, 255)
        where = hidden & (truth > TISSUE)
        x, t = drawn[:, where].astype(np.float64), truth[where].astype(np.float64)
        mean, std = x.mean(axis=0), x.std(axis=0)
        few = drawn[:_ONE]
        alike = np.broadcast_to(truth, few.shape).astype(np.float32)
        seam = None
        if not hidden.all():
            seam = seam_sums(drawn, hidden).ratio / seam_sums(truth[None], hidden).ratio
        return _Row(
            float(ms_ssim_distance(few, alike)), float(gmsd(few, alike)), _rms(mean - t), _rms(std),
            float(crps_samples(t, x).mean()),
            float(np.mean(np.abs(t - mean) <= _GAUSSIAN_90 * std)), seam, seconds,
        )  # fmt: skip

    def draws(self) -> dict[str, npt.NDArray[np.float32]]:
        """As many draws (n, R, R) of the prior as slices: of the generator, with its residual field, finished."""
        looks: dict[str, dict[str, bool]] = {"generator": {}, "finished": {"finish": True}}
        if self.prior.parts.residual is not None:
            looks["with field"] = {"residual": True}
        turn = -round(self.prior.info.rotation / 90)
        return {
            name: np.rot90(draw(self.prior, len(self.real), self.seed, device="cpu", **look), turn, (-2, -1))
            for name, look in looks.items()
        }

    def textures(self, draws: dict[str, npt.NDArray[np.float32]]) -> dict[str, Texture]:
        """Of draws, against the slices'."""
        return {name: texture_of(images, self.real, self.subjects) for name, images in draws.items()}

    def nearest(self, draws: dict[str, npt.NDArray[np.float32]]) -> dict[str, float]:
        """Median distance from the nearest training slice, grey levels, of draws and of held-out slices."""
        training = grey_images(self.set.read(self.data, "training"))
        shown = draws | {"held-out slices": self.real}
        return {name: float(np.median(nearest_training(images, training))) for name, images in shown.items()}

    def table(self, textures: dict[str, Texture], nearest: dict[str, float]) -> str:
        """Markdown: draws of the prior, how near they come to training slices, then posterior draws by task."""
        count = len(next(iter(textures.values())).octaves)
        octaves = [f"{2**k}-{2 ** (k + 1)}" for k in range(1, count + 1)]
        lines = _head(["draws", "Fréchet", "Laplacian", *octaves, "told"])
        for name, one in textures.items():
            cells = [name, f"{one.frechet:.1f}", f"{one.laplacian:.2f}", *(f"{power:.2f}" for power in one.octaves)]
            lines.append("| " + " | ".join([*cells, f"{one.told:.0%}"]) + " |")
        lines += ["", *_head(["nearest training slice", *nearest])]
        lines.append("| " + " | ".join(["median distance", *(f"{far:.1f}" for far in nearest.values())]) + " |")
        lines += ["", *_head(
            ["task", "kind", "slices", "1 - MS-SSIM", "GMSD", "RMSE of mean", "spread", "CRPS", "covered", "seam", "s"]
        )]  # fmt: skip
        for task in dict.fromkeys(key[0] for key in self.rows):
            for kind in _KINDS:
                rows = [row for key, row in self.rows.items() if (key[0], key[2]) == (task, kind)]
                if rows:
                    lines.append("| " + " | ".join([task, kind, str(len(rows)), *_means(rows)]) + " |")
        return "\n".join(lines) + "\n"


def _observed(
    task: str, truth: npt.NDArray[np.float32]
) -> tuple[Corruption, npt.NDArray[np.float32], npt.NDArray[np.bool_]]:  # fmt: skip
    """What happened, what is seen, and which pixels are restored."""
    if task.startswith("x"):
        f = Downsample(int(task[1:]))
        return f, f(torch.from_numpy(truth)[None, None])[0, 0].numpy(), np.ones(truth.shape, dtype=bool)
    hidden = paper_masks(truth.shape[0])[int(task.removeprefix("mask-"))]
    return Mask(hidden), np.where(hidden, np.float32(0), truth), hidden


def _rms(values: npt.NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _head(names: list[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]


def _means(rows: list[_Row]) -> list[str]:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    def pooled(name: str) -> float:
        return _rms(np.array([getattr(row, name) for row in rows]))

    seam = "" if rows[0].seam is None else f"{mean('seam'):.2f}"
    return [
        f"{mean('ms_ssim'):.4f}", f"{mean('gmsd'):.4f}", f"{pooled('rmse'):.2f}", f"{pooled('spread'):.2f}",
        f"{mean('crps'):.2f}", f"{mean('covered'):.1%}", seam, f"{mean('seconds'):.1f}",
    ]  # fmt: skip

"""Cells of the table of priors: a prior's reconstructions, restorations and samples, each kept when it is done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.restore import restore
from napari_brgm.evaluation.cache import Cache, Cell
from napari_brgm.evaluation.frechet import frechet_distance
from napari_brgm.evaluation.held_out import evenly_spaced
from napari_brgm.evaluation.method import Progressed
from napari_brgm.evaluation.scores import score
from napari_brgm.evaluation.tasks import Task
from napari_brgm.inference.inversion import invert
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings, Method

    Images = npt.NDArray[np.float32]
    Say = Callable[[str], None]

__all__ = ["FRECHET_SAMPLES", "SHEET_IMAGES", "HowToInfer", "PriorCells", "draw_samples", "shown"]

FRECHET_SAMPLES = 256
SHEET_IMAGES = 8  # columns of the contact sheet
_INVERTED_AT_ONCE = 4
_SAVE_EVERY = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class HowToInfer:
    """How restorations and reconstructions are made; the fields are those of ``napari_brgm.restore``.

    ``settings`` None: the preset that suits the prior; ``steps`` None: as many as the settings say.
    """

    method: Method = "map"
    settings: InferenceSettings | None = None
    samples: int = 16  # the mean of the draws is the posterior mean of the table
    seed: int = 0
    device: str = "auto"
    inversion_steps: int = 200
    steps: int | None = None

    def settings_for(self, prior: Prior) -> InferenceSettings:
        """The settings with which this prior restores."""
        found = self.settings or preset(prior.info.preset)
        return found if self.steps is None else found.but(steps=self.steps)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Images of a restoration: the posterior mean, the MAP image where there is one, and a single draw."""
        return ("mean", "map", "draw") if self.method == "map" else ("mean", "draw")


class PriorCells:
    """One prior on the held-out images of its set.

    Parameters
    ----------
    label : str
        Names the cached files.
    prior : Prior
    truth : (N, R, R) ndarray
        Held-out images, grey levels 0..255.
    about : dict
        Of these images, in plain values: part of the fingerprint.
    how : HowToInfer
    cache : Cache
    """

    def __init__(
        self, label: str, prior: Prior, truth: Images, about: dict[str, Any], how: HowToInfer, cache: Cache
    ) -> None:
        self.label, self.truth, self.how, self.cache = label, truth, how, cache
        self.prior = prior.to(pick_device(how.device))
        self.about = {**about, "prior": prior.info.name, "weights_sha256": prior.info.weights_sha256}

    def reconstruction(self, space: Literal["w", "w+"], tell: Say) -> Cell:
        """Invert the complete images in W or W+."""
        task = Task(space, f"{space.upper()} reconstruction", size=self.truth.shape[-1])
        fingerprint = {**self.about, "steps": self.how.inversion_steps}
        if kept := self.cache.load(self.label, task.name, fingerprint):
            return kept
        part = self.cache.load_part(self.label, task.name, fingerprint)
        while part is None or len(part.estimates) < len(self.truth):
            done = len(part.estimates) if part else 0
            tell(f"{self.label}, {task.title}: {done} of {len(self.truth)} images")
            start = time.perf_counter()
            targets = torch.from_numpy(self.truth[done : done + _INVERTED_AT_ONCE])[:, None] / 127.5 - 1
            targets = targets.expand(-1, self.prior.channels, -1, -1)
            found = invert(self.prior, targets, space=space, steps=self.how.inversion_steps)
            grey = (127.5 * (found.images.mean(dim=1) + 1)).cpu().numpy()
            part = _joined(part, grey, time.perf_counter() - start)
            self.cache.save_part(self.label, task.name, fingerprint, part)
        return self._kept(self.label, task, fingerprint, part.estimates, part.seconds)

    def restoration(self, task: Task, tell: Say) -> dict[str, Cell]:
        """Restore every image; a cell for each kind of ``how.kinds``."""
        how = self.how
        settings = how.settings_for(self.prior)
        fingerprint = {
            **self.about, "method": how.method, "settings": settings.as_dict(), "samples": how.samples, "seed": how.seed
        }  # fmt: skip
        names = {kind: f"{self.label}-{kind}" for kind in how.kinds}
        kept = {kind: self.cache.load(name, task.name, fingerprint) for kind, name in names.items()}
        found = {kind: cell for kind, cell in kept.items() if cell is not None}
        if len(found) == len(kept):
            return found
        observed = task.observe(self.truth)
        part = self.cache.load_part(self.label, task.name, fingerprint)
        saved = time.monotonic()
        while part is None or len(part.estimates) < len(observed):
            done = len(part.estimates) if part else 0
            tell(f"{self.label}, {task.title}: {done} of {len(observed)} images")
            image = observed[done] if self.prior.channels == 1 else np.repeat(observed[done][..., None], 3, axis=2)
            start = time.perf_counter()
            result = restore(
                image, task.corruption, self.prior, method=how.method, samples=how.samples, seed=how.seed + done,
                device=str(self.prior.latents.mean.device), settings=settings,
            )  # fmt: skip
            images = {"mean": result.mean, "map": result.estimate, "draw": result.samples[0]}
            grey = np.stack([_grey(images[kind]) for kind in how.kinds])[None]
            part = _joined(part, grey, time.perf_counter() - start)
            if time.monotonic() - saved > _SAVE_EVERY:
                self.cache.save_part(self.label, task.name, fingerprint, part)
                saved = time.monotonic()
        cells = {}
        for number, (kind, name) in enumerate(names.items()):
            finished = task.finish(part.estimates[:, number], observed)
            cells[kind] = self._kept(name, task, fingerprint, finished, part.seconds)
        self.cache.drop_part(self.label, task.name)
        return cells

    def samples_distance(self, real: Images, tell: Say) -> float:
        """Fréchet distance of samples to all validation images ``real``."""
        fingerprint = {**self.about, "samples": FRECHET_SAMPLES, "real": len(real), "seed": self.how.seed}
        name = f"{self.label}--samples"
        if kept := self.cache.load_record(name, fingerprint):
            return float(kept["frechet"])
        tell(f"{self.label}, {FRECHET_SAMPLES} samples")
        distance = frechet_distance(draw_samples(self.prior, FRECHET_SAMPLES, self.how.seed), real)
        self.cache.save_record(name, fingerprint, {"frechet": distance})
        return distance

    def _kept(
        self, name: str, task: Task, fingerprint: dict[str, Any], images: npt.NDArray[np.floating], seconds: float
    ) -> Cell:
        finished = np.clip(images, 0, 255).astype(np.float32)
        scores = score(finished, self.truth, task, seconds / len(self.truth))
        cell = Cell(scores, finished[shown(len(self.truth))])
        self.cache.save(name, task.name, fingerprint, cell)
        return cell


def draw_samples(prior: Prior, count: int, seed: int) -> Images:
    """Draw images (count, R, R) in grey levels 0..255: G(w), and where the prior models it what G cannot draw."""
    images = 127.5 * (prior.sample(count, seed).mean(dim=1) + 1)
    if prior.parts.residual is not None:
        images = images + prior.parts.residual.sample(count, torch.Generator().manual_seed(seed + 1))[:, 0]
    grey: Images = images.clamp(0, 255).float().cpu().numpy()
    return grey


def shown(count: int) -> list[int]:
    """Choose the images of the contact sheet among ``count``."""
    return evenly_spaced(count, min(SHEET_IMAGES, count))


def _grey(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W) of (H, W) or (H, W, 3)."""
    return np.asarray(image if image.ndim == 2 else image.mean(axis=2), dtype=np.float32)


def _joined(part: Progressed | None, images: npt.NDArray[np.floating], seconds: float) -> Progressed:
    if part is None:
        return Progressed(images, None, seconds)
    return Progressed(np.concatenate([part.estimates, images]), None, part.seconds + seconds)

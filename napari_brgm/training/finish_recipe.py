"""The finish recipe: slices and the prior of which they are, to the prior's weights with a new finish.

Files in the work folder: ``shrinkage`` and ``fold-K.safetensors`` (what draws are made of, minutes of one core),
``checkpoint/`` and ``samples.png``. A run that is cut goes on with the next stage or batch, with new holes.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import BrgmError, DeviceError, InputError, OutputError, WeightsError
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.priors.finish import packed, place_maps
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from napari_brgm.training.finish import DARK, FinishSettings, FinishTraining
from napari_brgm.training.finish_inputs import FinishInputs
from napari_brgm.training.finish_sheet import FinishSheet
from napari_brgm.training.poses import Poses, posed_copies
from napari_brgm.training.precision import training_precision
from napari_brgm.training.work_folder import claim_folder
from napari_brgm.zoo.files import read_prior, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.finish import Finish
    from napari_brgm.priors.parts import Line
    from napari_brgm.priors.prior import Prior

__all__ = ["FinishRun", "check_finishable", "finish_settings", "train_finish"]

_FEWEST_SUBJECTS = 3  # one for each fold
_SMALLEST, _MULTIPLE = 32, 4  # of a batch
_SMALLEST_FRAME = 64
_SAVE_SECONDS, _SHEET_SECONDS, _REPORT_SECONDS = 120.0, 240.0, 20.0


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Where and how long a finish is trained.

    Attributes
    ----------
    source : Path
        Weights file of the prior; all that is not of a finish is taken over.
    work : Path
        Folder of stages, checkpoint and samples; the same one goes on with a cut run.
    out : Path
        Weights file to write; its sample sheet (.png) lies beside it.
    mirror : bool
        Left and right may be exchanged.
    poses : Poses
        Of the copies that draws are made of, as of the prior.
    device : str
    seconds : float
        Stop after so long, with everything kept.
    report : callable
        Gets lines for a person.
    progress : callable, optional
        Gets (images shown, images in all).
    warm_start : Path, optional
        Weights file of a prior whose finish a new training begins with.
    """

    source: Path
    work: Path
    out: Path
    mirror: bool = False
    poses: Poses = Poses()  # noqa: RUF009  # frozen
    device: str = "auto"
    seconds: float = math.inf
    report: Callable[[str], None] = print
    progress: Callable[[int, int], None] | None = None
    warm_start: Path | None = None


class _TimeIsUp(Exception):
    """Raised between two stages."""


def finish_settings(resolution: int, device: str = "auto") -> FinishSettings:
    """Settings that suit a frame, in the precision that suits the device.

    Raises
    ------
    DeviceError
        There is no such device.
    """
    pools = (1,) if resolution <= 128 else (1, 2)
    return FinishSettings(pools=pools, precision=training_precision(pick_device(device)))


def check_finishable(prior: Prior) -> Line:
    """The exact linear part that a finish goes with.

    Raises
    ------
    InputError
        There is none, or the prior draws colours or nothing, or its frame is no power of two of at least 64 pixels.
    """
    name, side, line = prior.info.name, prior.resolution, prior.parts.line
    if prior.channels != 1:
        raise InputError(f"{name} draws colours, and a finish is of grey slices; choose another prior")
    if line is None or not line.exact:
        raise InputError(
            f"{name} has no exact linear part, whose draws a finish is for; choose a prior of the linear recipe"
        )
    if side < _SMALLEST_FRAME or side & (side - 1):
        raise InputError(
            f"a finish needs a frame of 64, 128, 256, ... pixels, and {name} has {side}; choose another prior"
        )
    if not bool((to_grey(line.model.mean) > DARK).any()):
        raise InputError(f"the mean of {name} is dark everywhere, which no anatomy is; choose another prior")
    return line


def train_finish(slices: SliceSet, prior: Prior, settings: FinishSettings, run: FinishRun) -> str | None:
    """Train a finish, or go on with its training in ``run.work``.

    Parameters
    ----------
    slices : SliceSet
        Training slices in the prior's frame.
    prior : Prior
        That of ``run.source``.
    settings : FinishSettings
        The number of images and the rates may change when going on.
    run : FinishRun

    Returns
    -------
    str or None
        SHA-256 of the weights file, or None if the time ran out first: the same run again goes on.

    Raises
    ------
    InputError
        The prior has no exact linear part, the slices do not fit it or are too few, or ``run.work`` is of others.
    DeviceError, OutputError, WeightsError
        The device, the folders or the weights cannot be used.
    BrgmError
        The training became unstable; the last checkpoint is kept.
    """
    began = time.monotonic()
    line = check_finishable(prior)
    _check(slices, prior, settings)
    device = pick_device(run.device)
    claim_folder(run.work, "finish", slices, _fixed(prior, line, settings, run))
    begun = _beginning(run, settings)
    try:
        loop = _Loop(_inputs(slices, prior, line, device, run, began), settings, run, began)
        if begun is not None:
            loop.begin_with(begun)
        finished = loop.train()
    except _TimeIsUp:
        return None
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{device} has too little memory for batches of {settings.batch} images; choose a smaller batch"
        ) from error
    if not finished:
        return None
    digest = _write(loop.training, line, run)
    loop.sheet.write(loop.training, run.out.with_suffix(".png"))
    run.report(f"{run.out.name}: {run.out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return digest


class _Loop:
    """Steps, figures, saves and sheets against the clock."""

    def __init__(self, inputs: FinishInputs, settings: FinishSettings, run: FinishRun, began: float) -> None:
        self.run, self.began, self.settings = run, began, settings
        self.training = FinishTraining(inputs, settings)
        self.sheet = FinishSheet(inputs)
        self.saving = 0.0  # seconds of the longest save with its sheet
        folder = run.work / "checkpoint"
        if has_checkpoint(folder):
            self._restore(load_checkpoint(folder))
            run.report(f"going on after {self.training.shown:,} images")

    def train(self) -> bool:
        """Train until all images are shown, which gives True, or the time is over."""
        training, run, total = self.training, self.run, self.settings.images
        told = saved = time.monotonic()
        drawn = -math.inf  # the first sheet comes with the first save
        since, slowest = training.shown, 0.0
        while training.shown < total and self._left() > slowest + 1.5 * self.saving:
            start = time.monotonic()
            training.step()
            if run.progress is not None:
                run.progress(min(training.shown, total), total)
            now = time.monotonic()
            slowest = max(slowest, now - start)
            if now - told > _REPORT_SECONDS:
                self._tell((training.shown - since) / (now - told))
                told, since = now, training.shown
            if now - saved > _SAVE_SECONDS:
                with_sheet = now - drawn > _SHEET_SECONDS
                self._save(with_sheet)
                saved = time.monotonic()
                drawn = saved if with_sheet else drawn
        if training.shown > since:
            self._tell((training.shown - since) / max(time.monotonic() - told, 1e-9))
        self._save(with_sheet=True)
        return training.shown >= total

    def _left(self) -> float:
        return self.run.seconds - (time.monotonic() - self.began)

    def _tell(self, rate: float) -> None:
        training = self.training
        figures = {name: float(value) for name, value in training.figures.items()}
        line = "".join(f"  {name} {value:.3g}" for name, value in figures.items())
        self.run.report(f"{training.shown:,} of {self.settings.images:,} images{line}  {rate:.2g} images/s")

    def _save(self, with_sheet: bool) -> None:
        training, inputs, start = self.training, self.training.inputs, time.monotonic()
        if not all(bool(p.isfinite().all()) for p in [*training.network.parameters(), *training.judges]):
            kept = "the last checkpoint is kept" if has_checkpoint(self.run.work / "checkpoint") else "nothing was kept"
            raise BrgmError(
                f"the training became unstable before {training.shown:,} images and {kept}; "
                "go on with a lower learning rate"
            )
        generators = {name: one.get_state() for name, one in self._generators().items()}
        random = {"device": inputs.device.type, "generators": generators, "torch": torch.get_rng_state()}
        save_checkpoint(self.run.work / "checkpoint", training.state() | {"random": random})
        if with_sheet:
            self.sheet.write(training, self.run.work / "samples.png")
        self.saving = max(self.saving, time.monotonic() - start)

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; on another kind of device, whose generators differ, with new random numbers."""
        random = state.pop("random")
        self.training.load(state)
        if random["device"] == self.training.device.type:
            for name, one in self._generators().items():
                one.set_state(random["generators"][name])
            torch.set_rng_state(random["torch"])
        else:
            for one in self._generators().values():
                one.manual_seed(self.settings.seed + self.training.shown)
        if self.training.device.type == "cuda":  # noise on the critics' images, which nothing else draws
            torch.cuda.manual_seed(self.settings.seed + self.training.shown)

    def _generators(self) -> dict[str, torch.Generator]:
        inputs = self.training.inputs
        return {"noise": self.training.random, "holes": inputs.holes, "draws": inputs.random}

    def begin_with(self, network: Finish) -> None:
        """Take over the weights of a trained network; the discriminators stay new."""
        state = {name: one for name, one in network.state_dict().items() if name != "place"}
        self.training.network.load_state_dict(state)
        self.training.average.load_state_dict(state)


def _beginning(run: FinishRun, settings: FinishSettings) -> Finish | None:
    """The network that a new training begins with, if one was named."""
    path = run.warm_start
    if path is None or has_checkpoint(run.work / "checkpoint"):
        return None
    found = read_prior(path).parts.finish
    if found is None:
        raise WeightsError(f"{path.name} has no finish to start from; leave the warm start out")
    if found.widths != settings.widths:
        raise WeightsError(f"the finish in {path.name} is of another size; leave the warm start out")
    run.report(f"begins with the finish in {path.name}")
    return found


def _check(slices: SliceSet, prior: Prior, settings: FinishSettings) -> None:
    """Refuse slices and batches that cannot be trained on."""
    side, count = slices.framing.resolution, len(slices.subject_names)
    if slices.images.shape[1] != 1:
        raise InputError("a finish is of grey slices, and these are in colour; give grey ones")
    if side != prior.resolution:
        raise InputError(
            f"the slices have {side} pixels a side where {prior.info.name} draws {prior.resolution}; "
            "give them in its frame"
        )
    if settings.batch < _SMALLEST or settings.batch % _MULTIPLE:
        raise InputError(f"the batch must be a multiple of {_MULTIPLE} from {_SMALLEST} on, got {settings.batch}")
    if count < _FEWEST_SUBJECTS:
        raise InputError(
            f"there are slices of {count} subject(s); a finish needs those of at least {_FEWEST_SUBJECTS}, each in a "
            "folder of its own"
        )
    if len(slices) < settings.batch:
        raise InputError(f"{len(slices)} slices are too few for batches of {settings.batch}; give more")


def _inputs(
    slices: SliceSet, prior: Prior, line: Line, device: torch.device, run: FinishRun, began: float
) -> FinishInputs:  # fmt: skip
    """What is learnt from; its stages are kept in the work folder."""

    def keep(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        path = run.work / f"{name}.safetensors"
        try:
            return read_tensors(path)[0]
        except (OSError, ValueError):  # not there, or not whole: made anew
            pass
        if time.monotonic() - began > run.seconds:
            raise _TimeIsUp
        start = time.monotonic()
        made = make()
        try:
            write_tensors(path, made, {})
        except OSError as error:
            advice = advice_of(error, "choose another folder")
            raise OutputError(f"{path} cannot be written: {reason_of(error)}; {advice}") from error
        run.report(f"{name}: {time.monotonic() - start:.0f} s")
        return made

    def signed(grey: Tensor) -> Tensor:
        parts = (from_grey(part.to(device).float()).half() for part in torch.split(grey, 512))
        return torch.cat(list(parts))

    levels = torch.from_numpy(slices.images // (1 if slices.white == 255 else 257)).to(torch.uint8)
    model = line.model.to(device)
    return FinishInputs(
        signed(levels), torch.from_numpy(slices.subjects).to(device), model,
        (line.latents or LatentStatistics.standard(model.rank)).to(device),
        sigma=prior.info.representation_sigma, mirror=run.mirror,
        copies=(lambda: signed(posed_copies(levels, run.poses))) if run.poses.copies else None,
        keep=keep,
    )  # fmt: skip


def _fixed(prior: Prior, line: Line, settings: FinishSettings, run: FinishRun) -> dict[str, Any]:
    """What stages and checkpoint depend on."""
    tensors = [line.model.mean, line.model.coarse]
    digest = hashlib.sha256(b"".join(one.cpu().contiguous().numpy().tobytes() for one in tensors)).hexdigest()
    sizes = {name: getattr(settings, name) for name in ("widths", "critic", "pools", "seed", "batch")}
    return sizes | {
        "prior": digest, "mirror": run.mirror, "poses": asdict(run.poses), "sigma": prior.info.representation_sigma,
    }  # fmt: skip


def _write(training: FinishTraining, line: Line, run: FinishRun) -> str:
    """Write the prior's weights with the averaged network; returns their SHA-256."""
    network: Finish = copy.deepcopy(training.average).to("cpu")
    network.place = place_maps(line.model.mean.cpu(), run.mirror)
    try:
        tensors, metadata = read_tensors(run.source)
        tensors = {name: one for name, one in tensors.items() if not name.startswith("finish.")}
        write_tensors(run.out, tensors | {f"finish.{name}": one for name, one in packed(network).items()}, metadata)
    except OSError as error:
        advice = advice_of(error, "choose a folder that can be written")
        raise OutputError(f"the weights cannot be written to {run.out}: {reason_of(error)}; {advice}") from error
    return sha256_of(run.out)

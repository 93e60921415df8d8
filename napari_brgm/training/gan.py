"""Adversarial training of a StyleGAN2 prior: stops when told, goes on where it stopped, and says how it goes.

Files in the work folder: ``checkpoint/`` (training/checkpoint.py), ``samples.png`` and ``log.jsonl``.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import DeviceError, InputError, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint
from napari_brgm.training.gan_figures import GanEvaluation, Judge, spread_slices
from napari_brgm.training.gan_loop import CHECKPOINT, GanLoop
from napari_brgm.training.gan_state import GanState
from napari_brgm.training.gan_step import GanStep
from napari_brgm.training.slice_bank import SliceBank
from napari_brgm.training.warm_start import warm_start_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_brgm.priors.stylegan2 import StyleGAN2
    from napari_brgm.training.discriminator import Discriminator
    from napari_brgm.training.gan_figures import GanFigures
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.slice_bank import SliceArray

__all__ = ["GanResult", "train_gan"]

_REAL = 1024  # training slices that samples are compared with
_HELD_OUT = 16  # held-out slices that are looked for


@dataclass(frozen=True, slots=True)
class GanResult:
    """What a training has reached.

    Attributes
    ----------
    network : StyleGAN2
        The averaged generator, on the CPU.
    discriminator : Discriminator
        On the CPU.
    shown : int
        Real images shown.
    finished : bool
        Whether all images of the settings were shown.
    figures : dict of str to float
        The last ones.
    """

    network: StyleGAN2
    discriminator: Discriminator
    shown: int
    finished: bool
    figures: dict[str, float]


def train_gan(
    slices: SliceArray,
    settings: GanSettings,
    work: Path,
    *,
    held_out: SliceArray | None = None,
    device: str = "auto",
    report: Callable[[str], None] = print,
    progress: Callable[[GanFigures], None] | None = None,
    seconds: float = math.inf,
    warm_start: Path | Mapping[str, Tensor] | None = None,
    evaluation: GanEvaluation | None = None,
) -> GanResult:
    """Train, or go on with the training in ``work``.

    Parameters
    ----------
    slices : SliceArray
        A ``SliceSet``.
    settings : GanSettings
        Those of the networks' sizes must be the same when going on; others may change.
    work : Path
        Folder of checkpoint, samples and log.
    held_out : SliceArray, optional
        Of other subjects in the same frame: some of them are looked for in W+ now and then.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    report : callable
        Gets lines for a person.
    progress : callable
        Gets the figures every ``settings.report_steps`` steps. It may raise ``Cancelled``: what was reached is kept.
    seconds : float
        Stop, with everything kept, before so long has passed.
    warm_start : Path or dict, optional
        Weights file or state dict whose tensors a new training starts with where names and shapes fit.
    evaluation : GanEvaluation, optional

    Raises
    ------
    InputError
        The slices or the settings do not allow a training.
    DeviceError
        The device is not there, or has too little memory.
    OutputError
        The work folder cannot be written.
    WeightsError
        The checkpoint is damaged, or the weights of the warm start cannot be read.
    BrgmError
        The training became unstable; the last checkpoint is kept.
    Cancelled
        ``progress`` or ``report`` wished so.
    """
    began = time.monotonic()
    place = pick_device(device)
    bank = SliceBank(slices, place, settings.mirror)
    if len(bank) < settings.batch:
        raise InputError(
            f"{len(bank)} slices are fewer than a batch of {settings.batch}; use more slices, or a smaller batch"
        )
    unseen = None if held_out is None else spread_slices(SliceBank(held_out, place), _HELD_OUT)
    if unseen is not None and unseen.shape[1:] != bank.images.shape[1:]:
        raise InputError("the held-out slices have another size than the others; put both into the same frame")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {work} cannot be made: {reason_of(error)}; choose another") from error
    try:
        with _fast_kernels(place):
            state = GanState(settings, bank.resolution, bank.channels, place)
            if has_checkpoint(work / CHECKPOINT):
                state.restore(load_checkpoint(work / CHECKPOINT))
                report(f"going on after {state.shown:,} images")
            elif warm_start is not None:
                report(warm_start_from(state, warm_start))
            step = GanStep(state, settings, report)
            judge = Judge(spread_slices(bank, _REAL), unseen, evaluation or GanEvaluation(), settings.seed)
            run = GanLoop(state, settings, work, judge, report, progress, began, seconds)
            figures = run.train(step, bank)
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(
            f"{place} has too little memory for batches of {settings.batch} slices of {bank.resolution} pixels; "
            "choose a smaller batch"
        ) from error
    finished = state.shown >= settings.images
    for net in (state.average, state.discriminator):
        net.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return GanResult(state.average, state.discriminator, state.shown, finished, figures)


@contextmanager
def _fast_kernels(device: torch.device) -> Iterator[None]:
    """On CUDA: TensorFloat-32 for the float32 parts, and convolutions chosen by trying."""
    if device.type != "cuda":
        yield
        return
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark

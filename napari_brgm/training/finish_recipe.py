"""The finish recipe: slices and the prior of which they are, to the prior's weights with a new finish.

Files in the work folder: ``shrinkage`` and ``fold-K.safetensors`` (what draws are made of, minutes of one core),
``checkpoint/`` and ``samples.png``. A run that is cut goes on with the next stage or batch, with new holes.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import DeviceError, InputError, OutputError, WeightsError
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.priors.finish import packed, place_maps
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.native_precision import native_precision
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.training.checkpoint import has_checkpoint
from napari_brgm.training.finish import DARK, FinishSettings, FinishTraining
from napari_brgm.training.finish_inputs import FinishInputs
from napari_brgm.training.finish_loop import FinishLoop
from napari_brgm.training.poses import posed_copies
from napari_brgm.training.work_folder import claim_folder
from napari_brgm.zoo.files import read_prior, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.finish import Finish
    from napari_brgm.priors.parts import Line
    from napari_brgm.priors.prior import Prior
    from napari_brgm.training.finish_run import FinishRun

__all__ = ["check_finishable", "finish_settings", "train_finish"]

_FEWEST_SUBJECTS = 3  # one for each fold
_SMALLEST, _MULTIPLE = 32, 4  # of a batch
_SMALLEST_FRAME = 64


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
    return FinishSettings(pools=pools, precision=native_precision(pick_device(device)))


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
        loop = FinishLoop(_inputs(slices, prior, line, device, run, began), settings, run, began)
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

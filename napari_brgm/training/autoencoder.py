"""The autoencoder recipe: a StyleGAN2 prior without an adversary, on a CPU in hours or on a GPU in minutes.

Stops when told and goes on where it stopped, on the CPU bit for bit. Files in the work folder: ``checkpoint/``
(training/checkpoint.py) and ``samples.png``. The product is a prior whose p(w) is a Gaussian with full covariance and
whose encoder starts the inference; its weights may start the ``gan`` recipe.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import BrgmError, DeviceError, InputError
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.adversarial import average_weights
from napari_brgm.training.autoencoder_model import Autoencoder, posterior_statistics
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from napari_brgm.training.gan_figures import spread_slices
from napari_brgm.training.gan_state import Meter
from napari_brgm.training.linear_start import PooledComponents
from napari_brgm.training.sheet import sample_sheet
from napari_brgm.training.slice_bank import SliceBank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.slice_bank import SliceArray

__all__ = ["AutoencoderResult", "train_autoencoder"]

_POOLED = 512  # slices pooled at a time
_CHUNK = 32  # slices reconstructed at a time
_SPREAD_RATE = 10.0  # of the learning rate, for the log of the spread of the latents, which has far to go
_MEASURED = 256  # held-out slices, evenly spread, whose reconstruction error is reported
_MAY_CHANGE = ("report_images", "save_seconds", "half_from")  # settings that may differ when going on


@dataclass(frozen=True, slots=True)
class AutoencoderResult:
    """What a training has reached.

    Attributes
    ----------
    prior : StyleGAN2Prior
        On the CPU; for zoo.files.write_prior.
    shown : int
        Slices shown.
    finished : bool
        Whether all of the settings' were shown.
    rmse : float
        Of the held-out slices against G(encoder(slice)), grey levels 0..255; nan without any.
    """

    prior: StyleGAN2Prior
    shown: int
    finished: bool
    rmse: float


def train_autoencoder(
    slices: SliceArray,
    settings: AutoencoderSettings,
    work: Path,
    *,
    held_out: SliceArray | None = None,
    info: PriorInfo | None = None,
    device: str = "auto",
    report: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
    seconds: float = math.inf,
) -> AutoencoderResult:
    """Train, or go on with the training in ``work``.

    Parameters
    ----------
    slices : SliceArray
        A ``SliceSet``.
    settings : AutoencoderSettings
        The same when going on, but for how often it reports and saves.
    work : Path
        Folder of the checkpoint and the samples.
    held_out : SliceArray, optional
        Of other subjects in the same frame: their reconstruction error is reported.
    info : PriorInfo, optional
        What the prior is of. Its ``representation_sigma`` is set to the held-out error, if there is one.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    report : callable
        Gets lines for a person. It may raise ``Cancelled``: what was saved last is kept.
    progress : callable
        Called after each step with (slices shown, slices in all).
    seconds : float
        Stop, with everything kept, after so long.

    Raises
    ------
    InputError
        The slices do not fit the settings, or the settings the checkpoint.
    DeviceError
        The device is not there, or has too little memory.
    OutputError
        The work folder cannot be written.
    WeightsError
        The checkpoint is damaged.
    BrgmError
        The training diverged; the last checkpoint is kept.
    """
    place = pick_device(device)
    bank = SliceBank(slices, place, settings.mirror)
    unseen = None if held_out is None else SliceBank(held_out, place)
    for given in (bank, unseen):
        if given is not None and given.resolution != settings.resolution:
            raise InputError(
                f"the slices have {given.resolution} pixels a side where the network draws {settings.resolution}; "
                "change the frame or the widths"
            )
    if unseen is not None and unseen.channels != bank.channels:
        raise InputError("the held-out slices are of another kind than the others; give both in grey or in colour")
    try:
        run = _AutoencoderTraining(bank, unseen, settings, work, info or PriorInfo("autoencoder"), report)
        run.train(seconds, progress)
        return run.result()
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"{place} has too little memory for batches of {settings.batch}; choose fewer") from error


class _AutoencoderTraining:
    """Everything that changes during a training."""

    def __init__(
        self, bank: SliceBank, unseen: SliceBank | None, settings: AutoencoderSettings, work: Path, info: PriorInfo,
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.bank, self.settings, self.work, self.info, self.report = bank, settings, work, info, report
        self.unseen = None if unseen is None else spread_slices(unseen, _MEASURED)
        self.device = bank.images.device
        going_on = has_checkpoint(work / "checkpoint")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = Autoencoder(settings, bank.resolution, bank.channels)
        if not going_on:
            parts = (bank.take(part) for part in torch.split(torch.arange(len(bank), device=self.device), _POOLED))
            model.start_linear(PooledComponents(parts, settings.direct, settings.latents, settings.mirror))
        self.layout = torch.channels_last if self.device.type == "cuda" else torch.contiguous_format
        self.model: Autoencoder = model.to(device=self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.Adam(self._groups(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.generator = torch.Generator(self.device).manual_seed(settings.seed)
        self.meter = Meter(self.device)
        self.shown = 0
        if going_on:
            self._restore(load_checkpoint(work / "checkpoint"))
            report(f"going on after {self.shown:,} slices")

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with their share of the learning rate."""
        encoder = [p for p in self.model.encoder.parameters() if p.requires_grad]
        decoder = list(self.model.synthesis.parameters())
        shares = ((decoder, 1.0), (encoder, self.settings.encoder_rate), ([self.model.log_std], _SPREAD_RATE))
        return [{"params": params, "share": share} for params, share in shares]

    def train(self, seconds: float, progress: Callable[[int, int], None] | None) -> None:
        """Show slices until all were shown or the time is over, and save."""
        s = self.settings
        began = saved = timed = time.monotonic()
        since = self.shown
        while self.shown < s.images and time.monotonic() - began < seconds:
            self._step()
            if progress is not None:
                progress(self.shown, s.images)
            if self.shown % s.report_images < s.batch or self.shown >= s.images:
                now = time.monotonic()
                self._tell((self.shown - since) / max(now - timed, 1e-9))
                since, timed = self.shown, now
                if now - saved > s.save_seconds:
                    self._save()
                    saved = now
        self._refuse_divergence()
        self._save()

    def _step(self) -> None:
        s = self.settings
        images = self.bank.draw(s.batch, self.generator)
        gain = 1 + s.gain * (2 * torch.rand(s.batch, 1, 1, 1, device=self.device, generator=self.generator) - 1)
        images = ((images + 1) * gain - 1).contiguous(memory_format=self.layout)
        spread = torch.randn(s.batch, s.latents, device=self.device, generator=self.generator)
        half_from = s.half_from if self.device.type == "cuda" else None
        losses = self.model.losses(images, spread, s.pyramid_levels, half_from)
        rate = s.learning_rate * min(1.0, (self.shown + s.batch) / max(s.warmup_images, 1))
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, self.shown / s.images)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.zero_grad(set_to_none=True)
        (losses.l1 + losses.pyramid + s.kl_weight * losses.kl).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.shown += s.batch
        average_weights(self.average, self.model, s.batch, self.shown, s.ema_images)
        for name in ("l1", "pyramid", "kl"):
            self.meter.add(name, getattr(losses, name))

    def _tell(self, speed: float) -> None:
        self._refuse_divergence()
        figures = self.meter.read()
        line = f"{self.shown:,} of {self.settings.images:,} slices"
        line += "".join(f"  {name} {value:.3f}" for name, value in figures.items())
        if self.unseen is not None:
            line += f"  held-out RMSE {self._error():.2f}"
        self.report(f"{line}  {speed:.0f} images/s")

    def _refuse_divergence(self) -> None:
        if not all(math.isfinite(float(total)) for total in self.meter.sums.values()):
            raise BrgmError(
                f"the training diverged before {self.shown:,} slices; start in a new folder with a lower learning_rate"
            )

    @torch.no_grad()
    def _error(self) -> float:
        """Root mean square error of the held-out slices in grey levels; nan without any."""
        if self.unseen is None:
            return math.nan
        total = 0.0
        for part in torch.split(self.unseen, _CHUNK):
            error = to_grey(self.average.reconstruct(part)).clamp(0, 255) - to_grey(part)
            total += float(error.square().mean(dim=(1, 2, 3)).sum())
        return math.sqrt(total / len(self.unseen))

    def result(self) -> AutoencoderResult:
        """Prior of the averaged weights, on the CPU."""
        error = self._error()
        info = self.info if math.isnan(error) else replace(self.info, representation_sigma=error)
        average = copy.deepcopy(self.average)
        prior = average.prior(posterior_statistics(average, self.bank), info).to("cpu")
        return AutoencoderResult(prior, self.shown, self.shown >= self.settings.images, error)

    def _save(self) -> None:
        state = {
            "settings": _fixed(self.settings), "slices": list(self.bank.images.shape), "shown": self.shown,
            "net": self.model.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "random": self.generator.get_state(),
            "random_device": self.device.type,
            "sums": self.meter.sums, "counts": self.meter.counts,
        }  # fmt: skip
        save_checkpoint(self.work / "checkpoint", state)
        sample_sheet(self.result().prior, self.work / "samples.png")

    def _restore(self, state: dict[str, Any]) -> None:
        where = self.work / "checkpoint"
        if state.get("settings") != _fixed(self.settings):
            raise InputError(f"{where} was made with other settings; choose another folder, or the same settings")
        if state["slices"] != list(self.bank.images.shape):
            raise InputError(f"{where} was made with other slices; choose another folder, or the same slices")
        self.model.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["random_device"] == self.device.type:
            self.generator.set_state(state["random"])
        else:  # devices draw from generators of different kinds
            self.generator.manual_seed(self.settings.seed + state["shown"])
        self.meter.sums = {name: total.to(self.device) for name, total in state["sums"].items()}
        self.meter.counts = state["counts"]
        self.shown = state["shown"]


def _fixed(settings: AutoencoderSettings) -> dict[str, Any]:
    """Settings that a training cannot change on its way."""
    return {name: value for name, value in asdict(settings).items() if name not in _MAY_CHANGE}

"""The lcm recipe: a latent convolutional model, without an adversary, on a CPU, from a few hundred slices.

    min over theta, phi_1 .. phi_N    mean_i  MSE(x_i, g_theta(f_phi_i(s)))  +  Laplacian-pyramid L1     (LCM Sec. 3)

with each phi_i projected to its box after each step. The rivals of the paper's tables are the same code with another
latent map (settings.latents). Departures from the paper: Adam in place of SGD at rate 1.0 (docs/decisions.md), and all
phi_i start alike, so that their principal components mean something.

Stops when told and goes on where it stopped. Files in the work folder: ``checkpoint/`` (shared network) and
``latents-*.npy`` (memory-mapped table); ``samples.png`` shows draws, anew with each checkpoint on the way. A run that
stops by itself or is told to goes on bit for bit; after one that was killed, the latents are a few minutes ahead of the
network, which does no harm.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import MapKind, latent_map
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from napari_brgm.training.latent_table import LatentTable
from napari_brgm.training.pyramid import pyramid_distance
from napari_brgm.training.sheet import sample_sheet
from napari_brgm.training.slice_bank import SliceBank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.slice_bank import SliceArray

__all__ = ["LcmResult", "train_lcm"]

_MAY_CHANGE = ("images", "report_images", "save_seconds", "components")  # settings that may differ when going on
_CHUNK = 64  # slices encoded at a time


@dataclass(frozen=True, slots=True)
class LcmResult:
    """What a training has reached.

    Attributes
    ----------
    prior : ConvolutionalManifold
        On the CPU.
    shown : int
        Slices shown.
    finished : bool
        Whether all of the settings' were shown.
    rmse : float
        Error of the training slices shown last, grey levels 0..255.
    """

    prior: ConvolutionalManifold
    shown: int
    finished: bool
    rmse: float


def train_lcm(
    slices: SliceArray,
    settings: LcmSettings,
    work: Path,
    *,
    info: PriorInfo | None = None,
    device: str = "auto",
    report: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
    seconds: float = math.inf,
) -> LcmResult:
    """Train, or go on with the training in ``work``.

    Parameters
    ----------
    slices : SliceArray
        A ``SliceSet``, in grey or in colour.
    settings : LcmSettings
        The same when going on, but for the length (the rates follow the new one), the components, and how often it
        reports and saves.
    work : Path
        Folder of the checkpoint and the latents.
    info : PriorInfo, optional
        What the prior is of.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'; the latents stay on disk.
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
    OutputError
        The work folder cannot be written.
    WeightsError
        The checkpoint is damaged.
    BrgmError
        The training diverged; the last checkpoint is kept.
    """
    bank = SliceBank(slices, pick_device(device))
    if bank.resolution != settings.resolution:
        raise InputError(
            f"the slices have {bank.resolution} pixels a side where the network draws {settings.resolution}; "
            "change the frame or the channels"
        )
    if len(bank) < 2 * settings.batch:
        raise InputError(
            f"{len(bank)} slices are too few for batches of {settings.batch}; give more, or a smaller batch"
        )
    run = _LcmTraining(bank, settings, work, report)
    run.train(seconds, progress)
    return LcmResult(
        run.prior(info or PriorInfo("lcm")), run.shown, run.shown >= settings.images, math.sqrt(run.error) * 127.5
    )


class _LcmTraining:
    """Everything that changes during a training."""

    def __init__(self, bank: SliceBank, settings: LcmSettings, work: Path, report: Callable[[str], None]) -> None:
        self.bank, self.settings, self.work, self.report = bank, settings, work, report
        self.device = bank.images.device
        encoded = settings.latents == "encoder"
        going_on = has_checkpoint(work / "checkpoint")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            kind: MapKind = "vector" if settings.latents == "encoder" else settings.latents
            self.map = latent_map(kind, seed=settings.seed, size=settings.latent_size)
            self.net = Hourglass(self.map.channels, bank.channels, settings.trunk, settings.fine)
            self.encoder = (
                Encoder(settings.encoder_widths, self.map.size, bank.resolution, bank.channels) if encoded else None
            )
        start = self.map.start(torch.Generator().manual_seed(settings.seed))
        self.table = None if encoded else LatentTable(work, start, len(bank), not going_on)
        self.modules = nn.ModuleDict({"map": self.map, "net": self.net})
        if self.encoder is not None:
            self.modules["encoder"] = self.encoder
        self.modules.to(self.device).train()
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.modules.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.shown, self.error = 0, 0.0  # error: running mean square, of the [-1, 1] range
        if going_on:
            self._restore(load_checkpoint(work / "checkpoint"))
            report(f"going on after {self.shown:,} slices")

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
                self._refuse_divergence()
                speed = (self.shown - since) / max(now - timed, 1e-9)
                rounds, rmse = self.shown / len(self.bank), math.sqrt(self.error) * 127.5
                line = f"{self.shown:,} of {s.images:,} slices ({rounds:.1f} rounds)"
                self.report(f"{line}  RMSE {rmse:.2f}  {speed:.0f} images/s")
                since, timed = self.shown, now
                if now - saved > s.save_seconds:
                    self._save()
                    sample_sheet(self.prior(PriorInfo("lcm")), self.work / "samples.png", 2, 8)
                    saved = now
        self._refuse_divergence()
        self._save()

    def _step(self) -> None:
        s = self.settings
        index, seen = self._batch()
        target = self.bank.take(index.to(self.device))
        if self.table is None:
            assert self.encoder is not None
            params = self.map.project(self.encoder.encode(target))
        else:
            params = self.table.take(index).to(self.device).requires_grad_(True)
        z = self.map(params).contiguous(memory_format=torch.channels_last)
        error = (self.net(z) - target) / 2  # of the [0, 1] range
        loss = error.square().mean() + pyramid_distance(error, s.pyramid_levels)
        part = self._part_of_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * part
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.table is not None:
            assert params.grad is not None
            gradient = params.grad.cpu() * len(index)  # of the image's own loss, not of the batch's mean
            moved = self.table.step(index, gradient, s.rate_of_latents * part, seen)
            with torch.no_grad():
                self.table.put(index, self.map.project(moved.to(self.device)).cpu())
        self.shown += len(index)
        square = 4 * float(error.detach().square().mean())
        self.error = square if not self.error else 0.98 * self.error + 0.02 * square

    def _batch(self) -> tuple[Tensor, int]:
        """Rows (B,) of the next batch and how often they were seen: rounds in random order, whole batches only."""
        s = self.settings
        batches = len(self.bank) // s.batch
        seen, place = divmod(self.shown // s.batch, batches)
        order = torch.randperm(len(self.bank), generator=torch.Generator().manual_seed(s.seed + seen))
        return order[place * s.batch : (place + 1) * s.batch], seen

    def _part_of_rate(self) -> float:
        s = self.settings
        done = self.shown / s.images
        rising = min(1.0, (self.shown + s.batch) / max(s.warmup_images, 1))
        return rising * min(1.0, max(1 - done, 0.0) / max(s.falling, 1e-9) + 1e-3)

    def _refuse_divergence(self) -> None:
        if not math.isfinite(self.error):
            raise BrgmError(
                f"the training diverged before {self.shown:,} slices; start in a new folder with a lower learning_rate"
            )

    @torch.no_grad()
    def prior(self, info: PriorInfo) -> ConvolutionalManifold:
        """Prior of the network as it stands, on the CPU."""
        if self.table is not None:
            values = self.table.values
        else:
            assert self.encoder is not None
            rows = torch.split(torch.arange(len(self.bank), device=self.device), _CHUNK)
            values = torch.cat([self.map.project(self.encoder.encode(self.bank.take(part))).cpu() for part in rows])
        net = Hourglass(self.map.channels, self.bank.channels, self.settings.trunk, self.settings.fine)
        net.load_state_dict(self.net.state_dict())
        own = latent_map(self.map.kind, size=self.settings.latent_size)
        own.load_state_dict(self.map.state_dict())
        return ConvolutionalManifold(own, net, LowRankStatistics.of(values, self.settings.components), info)

    def _save(self) -> None:
        if self.table is not None:
            self.table.flush()
        state = {
            "settings": _fixed(self.settings), "slices": list(self.bank.images.shape), "shown": self.shown,
            "modules": self.modules.state_dict(), "optimiser": self.optimiser.state_dict(), "error": self.error,
        }  # fmt: skip
        save_checkpoint(self.work / "checkpoint", state)

    def _restore(self, state: dict[str, Any]) -> None:
        where = self.work / "checkpoint"
        known = state.get("settings")  # a checkpoint of another recipe has others, or none
        theirs = {k: v for k, v in known.items() if k not in _MAY_CHANGE} if isinstance(known, dict) else None
        if theirs != _fixed(self.settings):
            raise InputError(f"{where} was made with other settings; choose another folder, or the same settings")
        if state["slices"] != list(self.bank.images.shape):
            raise InputError(f"{where} was made with other slices; choose another folder, or the same slices")
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.shown, self.error = state["shown"], state["error"]


def _fixed(settings: LcmSettings) -> dict[str, Any]:
    """Settings that a training cannot change on its way."""
    return {name: value for name, value in asdict(settings).items() if name not in _MAY_CHANGE}

"""Training of a StyleGAN2 network that refines a linear-Gaussian image (priors/stylegan2_prior.py), on CPU or GPU.

No adversary: the network sees cross-fitted estimates of corrupted slices, and the coordinates of complete ones, and
minimises the distance to the true slice: mean square plus L1 on an average pyramid, both in grey levels.
Stops and resumes: the checkpoint holds network, averaged network, optimiser, random state and counters.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.priors.linear_model import LinearModel
    from napari_brgm.training.crossfit import CrossFit

__all__ = ["RefineSettings", "held_out_error", "new_synthesis", "refine"]


_MEASURED = 32  # held-out slices whose error is followed


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """Settings of the training."""

    widths: tuple[tuple[int, int], ...] = ((8, 128), (16, 96), (32, 64), (64, 32), (128, 12))  # (resolution, channels)
    style_latents: int = 128  # how many of the leading latents steer the styles
    images: int = 180_000  # length of the training, in slices shown
    stages: tuple[tuple[int, int], ...] = ()  # (resolution, slices shown by its end), first; then the frame's own
    batch: int = 16
    learning_rate: float = 2e-3  # at the peak; cosine to zero after a linear warm-up
    warmup_images: int = 2_000
    complete_share: float = 0.2  # of a batch: complete slices instead of estimates
    gain: float = 0.12  # slices and their latents are scaled by 1 +- this much (brightness differs between scans)
    ema_images: float = 5_000.0  # half-life of the averaged weights
    seed: int = 0

    def shortened(self, images: int) -> RefineSettings:
        """The same schedule for another number of slices shown."""
        stages = tuple((r, end * images // self.images) for r, end in self.stages)
        return replace(self, images=images, stages=stages)


def new_synthesis(settings: RefineSettings) -> Synthesis:
    """The network at its start: its output is zero, so that G is the linear-Gaussian image."""
    torch.manual_seed(settings.seed)
    net = Synthesis(dict(settings.widths), settings.style_latents, inject=True)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "torgb.weight" in name or name.endswith("affine.weight"):
                p.zero_()
    return net


def loss(image: Tensor, target: Tensor) -> Tensor:
    """Mean square error / 20^2 plus L1 / 10 on three levels of an average pyramid; images in [-1, 1]."""
    error = (image - target) * 127.5  # grey levels
    total = error.square().mean() / 400
    for level in range(3):
        total = total + F.avg_pool2d(error, 2**level).abs().mean() / 10 / 3
    return total


def refine(
    model: LinearModel, images: Tensor, pairs: CrossFit, settings: RefineSettings, out: Path,
    report: Callable[[dict[str, float], Synthesis], None] | None = None, seconds: float = math.inf, *,
    held_out: Tensor | None = None, progress: Callable[[int, int], None] | None = None,
) -> Synthesis:  # fmt: skip
    """Train, or go on with the training in ``out``; returns the averaged network.

    Parameters
    ----------
    model : LinearModel
        The linear part.
    images : (N, 1, R, R) uint8 Tensor
        True slices.
    pairs : CrossFit
        Their latents; index i + N, if there are so many, is the mirror image of slice i.
    out : Path
        Folder of checkpoint.pt.
    report : callable
        Called about once a minute with the figures and the averaged network.
    seconds : float
        Stop (with a checkpoint) after so long.
    held_out : (M,) int64 Tensor
        Slices that the network is not trained on (nor on their reflections); their error is among the figures.
    progress : callable
        Called after each step with (slices shown, slices in all).
    """
    out.mkdir(parents=True, exist_ok=True)
    net = new_synthesis(settings)
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(settings.seed)
    shown = 0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if json.loads(state["settings"])["widths"] != [list(pair) for pair in settings.widths]:
            raise InputError(f"{checkpoint} holds a network of other widths; choose another folder, or the same widths")
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        shown = int(state["shown"])

    def save() -> None:
        state = {
            "net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
            "generator": generator.get_state(), "shown": shown, "settings": json.dumps(asdict(settings)),
        }  # fmt: skip
        with whole_file(checkpoint) as draft:
            torch.save(state, draft)

    n, (corruptions, items) = len(images), pairs.latents.shape[:2]
    shown_rows = torch.ones(items, dtype=torch.bool)
    if held_out is not None:
        for row in range(0, items, n):
            shown_rows[held_out + row] = False
    rows = shown_rows.nonzero()[:, 0]
    flat = model.coarse.flatten(1)
    small_mean = F.avg_pool2d(model.mean, model.resolution // model.coarse.shape[-1])
    black = ((small_mean + 1).flatten() @ flat.T) / flat.square().sum(dim=1)  # w of (mean - black level), for gains
    start = last = time.monotonic()
    running, base_running = 0.0, 0.0
    whole = True  # between steps; what is half of a step is not kept
    try:
        while shown < settings.images and time.monotonic() - start < seconds:
            index = rows[torch.randint(0, len(rows), (settings.batch,), generator=generator)]
            which = torch.randint(0, corruptions, (settings.batch,), generator=generator)
            complete = torch.rand(settings.batch, 1, generator=generator) < settings.complete_share
            w = torch.where(complete, pairs.complete[index].float(), pairs.latents[which, index].float())
            target = images[index % n].float() / 127.5 - 1
            target = torch.where((index >= n)[:, None, None, None], target.flip(-1), target)
            gain = 1 + settings.gain * (2 * torch.rand(settings.batch, 1, generator=generator) - 1)
            w = gain * w + (gain - 1) * black
            target = gain[:, :, None, None] * (target + 1) - 1
            with torch.no_grad():
                base = model.synthesize(w[:, None])
            styles = w[:, None, : settings.style_latents].expand(-1, net.num_ws, -1)
            side = next((r for r, end in settings.stages if shown < end), net.resolutions[-1])
            shrink = net.resolutions[-1] // side
            correction = net(styles, "none", base, side)
            base, target = F.avg_pool2d(base, shrink), F.avg_pool2d(target, shrink)
            value, reference = loss(base + correction, target), loss(base, target)
            rate = min(1.0, (shown + settings.batch) / settings.warmup_images)
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, shown / settings.images)))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            whole = False
            optimiser.step()
            shown += settings.batch
            keep = 0.5 ** (settings.batch / min(settings.ema_images, 0.1 * shown + 1))
            with torch.no_grad():
                for a, b in zip(average.parameters(), net.parameters(), strict=True):
                    a.lerp_(b, 1 - keep)
            whole = True
            running = 0.98 * running + 0.02 * value.item()
            base_running = 0.98 * base_running + 0.02 * reference.item()
            if progress is not None:
                progress(shown, settings.images)
            if time.monotonic() - last > 60:
                last = time.monotonic()
                if not math.isfinite(running):
                    raise BrgmError(
                        f"the training diverged before {shown:,} slices; start in a new folder with a lower rate"
                    )
                save()
                if report is not None:
                    figures = {"shown": shown, "loss": running, "linear": base_running, "seconds": last - start}
                    if held_out is not None:
                        figures |= held_out_error(model, average, images, pairs, held_out, settings.style_latents)
                    report(figures, average)
    except KeyboardInterrupt:
        if whole:
            save()
        raise
    save()
    return average


@torch.no_grad()
def held_out_error(
    model: LinearModel, net: Synthesis, images: Tensor, pairs: CrossFit, held_out: Tensor, style_latents: int
) -> dict[str, float]:
    """Errors of restored held-out slices in grey levels, without the network and with it."""
    rows = held_out[:: max(len(held_out) // _MEASURED, 1)]
    squares = torch.zeros(2)
    for part in torch.split(rows, 8):
        w = pairs.latents[0, part].float()
        base = model.synthesize(w[:, None])
        found = base + net(w[:, None, :style_latents].expand(-1, net.num_ws, -1), "none", base)
        target = images[part].float()
        for i, image in enumerate((base, found)):
            squares[i] += (to_grey(image).clamp(0, 255) - target).square().mean(dim=(1, 2, 3)).sum()
    linear, refined = (squares / len(rows)).sqrt().tolist()
    return {"held-out linear RMSE": linear, "held-out RMSE": refined}

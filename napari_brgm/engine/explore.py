"""Explore: what a prior can draw, and what lies between two slices.

    draw          x = G(w),  w ~ p(w)                       (LCM Sec. 4: Gaussian of the phi's principal components)
    interpolate   x_t = G(mu + F ((1 - t) u_0 + t u_1)),  t = 0 .. 1

u_0, u_1 are whitened latents of two slices, found by inversion in W, F F' the covariance of the latents
(LCM: arXiv 1806.06284). Everything that comes from here is synthetic; none of it shows a patient.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.observed import Problem, observe
from napari_brgm.engine.placed import grey_tensor
from napari_brgm.engine.provenance import DRAWN, origin
from napari_brgm.errors import InputError
from napari_brgm.inference.inversion import Inversion, invert
from napari_brgm.likelihood import from_grey, to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.prior import Prior

__all__ = ["Interpolation", "draw", "drawn_record", "interpolate"]

_BATCH = 8  # images synthesised at once


def draw(
    prior: Prior, n: int, seed: int = 0, *, residual: bool = False, finish: bool = False, device: str = "auto"
) -> npt.NDArray[np.float32]:
    """Draw images from the prior.

    Parameters
    ----------
    prior : Prior
    n : int
        How many.
    seed : int
        The same seed gives the same images on the same device.
    residual : bool
        Add a draw of what the generator cannot draw (the prior's residual field): fine texture.
    finish : bool
        Give images the texture of scans by the prior's network for it (priors/finish.py).
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.

    Returns
    -------
    (n, R, R) or (n, R, R, 3) ndarray, float32
        Grey levels 0..255, the way up in which radiologists look at such images.

    Raises
    ------
    InputError
        ``n`` is below 1, the prior has no residual field to add or no network to finish with, or both are asked for.
    DeviceError
        There is no such device.
    """
    if n < 1:
        raise InputError(f"at least 1 image must be drawn, got {n}")
    prior = prior.to(pick_device(device))
    field = prior.parts.residual if residual else None
    if residual and field is None:
        raise InputError(f"{prior.info.name} has no residual field; draw without it")
    if finish and residual:
        raise InputError("texture comes from the residual field or from the finish; choose one of them")
    network = prior.parts.finish if finish else None
    if finish and network is None:
        raise InputError(f"{prior.info.name} has no network to finish draws with; draw without it")
    images = prior.sample(n, seed)  # (n, C, R, R)
    if network is not None:
        images = network.finished(
            images, torch.ones_like(images[0, 0], dtype=torch.bool), torch.Generator().manual_seed(seed)
        )
    grey = to_grey(images)
    if field is not None:
        grey = grey + field.sample(n, torch.Generator().manual_seed(seed))
    grey = torch.rot90(grey, round(prior.info.rotation / 90), (-2, -1))  # as radiologists look at it
    found = grey.clamp(0, 255).float().cpu().numpy()
    return found[:, 0] if found.shape[1] == 1 else np.ascontiguousarray(np.moveaxis(found, 1, -1))


def drawn_record(
    prior: Prior, n: int, seed: int, *, residual: bool = False, finish: bool = False, device: str = "auto"
) -> dict[str, Any]:  # fmt: skip
    """Record, JSON-ready, of ``draw`` with these arguments."""
    start = origin(prior, notice=DRAWN, method="draw", device=pick_device(device))
    return start | {"count": n, "seed": seed, "residual_field": residual, "finish": finish}


@dataclass(frozen=True, slots=True, eq=False)
class Interpolation:
    """Images on the straight line between two slices. Synthetic throughout, the ends too; not for diagnosis.

    Attributes
    ----------
    images : (steps, H, W) or (steps, H, W, 3) float32 ndarray
        On the first slice's pixels and in its units. The ends are what the prior makes of the two slices.
    latents : (steps, num_ws, D) float32 ndarray
    rmse : (float, float)
        Error of the prior's image of each slice, in grey levels 0..255 of the generator frame.
    provenance : dict
        Prior and its hash, steps, geometry and window of both slices, device, versions, duration in seconds.
    """

    images: npt.NDArray[np.float32]
    latents: npt.NDArray[np.float32]
    rmse: tuple[float, float]
    provenance: dict[str, Any]


def interpolate(
    prior: Prior,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    steps: int = 8,
    *,
    spacing_first: tuple[float, float] | None = None,
    spacing_second: tuple[float, float] | None = None,
    inversion_steps: int = 200,
    device: str = "auto",
    report: Callable[[int, int], None] | None = None,
) -> Interpolation:
    """Find both slices' latents and draw what lies between them.

    Parameters
    ----------
    prior : Prior
    first, second : (H, W) or (H, W, 3) array-like
        Complete slices in any units; their sizes may differ.
    steps : int
        Images, both ends among them.
    spacing_first, spacing_second : (float, float), optional
        Pixel size (row, column), mm; None: the prior's own.
    inversion_steps : int
        Of the search for the latents.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    report : callable
        Gets the number of inversion steps done and that of all.

    Raises
    ------
    InputError
        A slice cannot be used, or there are fewer than 2 steps.
    DeviceError
        There is no such device.
    """
    if steps < 2:
        raise InputError(f"an interpolation has at least 2 steps, its ends; got {steps}")
    began = time.perf_counter()
    chosen = pick_device(device)
    prior = prior.to(chosen)
    problems = [_placed(prior, *one) for one in (("first", first, spacing_first), ("second", second, spacing_second))]

    def tell(done: int, _: object) -> None:
        if report is not None:
            report(done, inversion_steps)

    found = _inverted(prior, problems, inversion_steps, tell)
    u = prior.latents.whiten(found.ws)  # (2, num_ws, rank)
    t = torch.linspace(0, 1, steps).to(u)[:, None, None]
    with torch.no_grad():
        ws = prior.latents.colour(torch.lerp(u[:1], u[1:], t))  # (steps, num_ws, D)
        images = torch.cat([prior.synthesize(part) for part in torch.split(ws, _BATCH)])
        native = np.stack([problems[0].whole(one) for one in problems[0].finish(images, consistent=False)])
    rmse = (float(found.rmse[0]), float(found.rmse[1]))
    record = origin(prior, notice=DRAWN, method="interpolate", device=chosen) | {
        "steps": steps,
        "inversion": {"steps": inversion_steps, "space": "w"},
        "inversion_rmse": list(rmse),  # grey levels
        "slices": [
            {
                "window": {"low": one.window.low, "high": one.window.high},
                "frame": one.placed.frame.describe(), "notes": one.notes,
            }
            for one in problems
        ],
        "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    return Interpolation(native.astype(np.float32), ws.cpu().numpy(), rmse, record)


def _placed(prior: Prior, which: str, image: npt.ArrayLike, spacing: tuple[float, float] | None) -> Problem:
    """Frame and window of a complete slice."""
    try:
        return observe(image, Identity(), prior, spacing=spacing, noise_sigma=0.0)
    except InputError as error:
        raise InputError(f"the {which} slice: {error}") from error


def _inverted(
    prior: Prior, problems: list[Problem], steps: int, report: Callable[[int, torch.Tensor], None]
) -> Inversion:
    targets = []
    for one in problems:
        given = one.placed.given
        grey = grey_tensor(given.image, given.seen, one.window).to(prior.latents.mean.device)
        targets.append(one.placed.frame.to_frame(grey).clamp(0, 255))
    return invert(prior, from_grey(torch.cat(targets)), space="w", steps=steps, report=report)

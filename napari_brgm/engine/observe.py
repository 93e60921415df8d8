"""Observe: check a slice and its corruption, and state the inverse problem in grey levels of the generator frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_brgm.corruptions import Compose, Downsample, Grayscale, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.frame import Frame, Window
from napari_brgm.engine.noise_level import noise_of
from napari_brgm.engine.placement import first_guess, fixed_frame, grid_of, own_frame
from napari_brgm.engine.provenance import ESTIMATED
from napari_brgm.engine.registration import grey_tensor, registered
from napari_brgm.errors import InputError
from napari_brgm.likelihood import Likelihood, to_grey

if TYPE_CHECKING:
    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["Problem", "observe"]

_ROUNDS = 4  # of back-projection, alternating with the lower bound of the window
_ROUNDING = 0.29  # grey levels; no image is more exact than its rounding (1 / sqrt(12))
_REGISTERED = 40.0  # energy (pose.py) by which another pose must be better for a slice on the prior's own grid
_SMALL = 1.0  # grey levels; noise up to which the data are met exactly
_RATIOS = tuple(3.0**-k for k in range(-3, 10))  # tried in turn, noise over signal of a fine pixel
_UNSTABLE_RATIO = 1e-2  # noise to signal in the pseudo-inverse of blurs, which would amplify noise


@dataclass(frozen=True)
class Problem:
    """An inverse problem, and the way back from generator images to the scan's pixels and units.

    Attributes
    ----------
    image : (H, W) or (H, W, 3) ndarray
        The observation as it was given.
    corruption : Corruption
        f on the native (or finer) grid.
    frame : Frame
        Between the restored grid and the generator frame.
    alignment : Alignment
        The same as frame and window, in a person's terms.
    fitted : bool
        Whether it was fitted to this slice.
    likelihood : Likelihood
    measured : (H', W') bool ndarray
        Pixels of the restored grid that are kept as measured.
    unseen : (H', W') bool ndarray
        Masked pixels outside the generator frame, of which nothing is known.
    noise : dict
        Noise levels in grey levels.
    pixel : (float, float)
        Size of an observed pixel in frame pixels, rows and columns.
    tolerance : float
        Root mean square, grey levels, by which f of a result may miss the data; 0 where the noise is small or nobody
        has given it, so that the data are met exactly.
    notes : list of str
        Sentences for the person, for instance about parts that lie outside the generator frame.
    """

    image: npt.NDArray[Any]
    corruption: Corruption
    frame: Frame
    alignment: Alignment
    fitted: bool
    likelihood: Likelihood
    measured: npt.NDArray[np.bool_]
    unseen: npt.NDArray[np.bool_]
    noise: dict[str, float]
    pixel: tuple[float, float]
    tolerance: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def window(self) -> Window:
        """Between the scan's units and grey levels."""
        return self.alignment.window

    def finish(self, images: Tensor, consistent: bool) -> npt.NDArray[np.float64]:
        """Generator images (B, C, R, R) as restored slices (B, H', W'[, 3]) in the scan's units."""
        x = self.frame.to_native(to_grey(images)).clamp(min=0)
        exact = getattr(self.corruption, "exact", True) and not isinstance(self.corruption, Mask)
        if consistent and self.likelihood.linear and exact:
            x = self._consistent(x)
        grey = x.double().cpu().numpy()
        grey = grey[:, 0] if grey.shape[1] == 1 else np.moveaxis(grey, 1, -1)
        return np.asarray(self.window.from_grey(grey), dtype=np.float64)

    def _consistent(self, x: Tensor) -> Tensor:
        """X + A^+ (y - A x), a few rounds with the bound at black between them (the last word is the data's).

        Where the data have known noise, by the regularised inverse, as strong as brings f(x) just within that noise
        (Morozov's discrepancy principle; Engl, Hanke and Neubauer 1996, Sec. 4.3): noise is not to be restored.
        """
        corruption: Any = self.corruption
        least = 0.0 if isinstance(corruption, Downsample) else _UNSTABLE_RATIO
        size = (int(x.shape[-2]), int(x.shape[-1]))
        y, observed = self.likelihood.observation.to(x), self.likelihood.observed.to(x)

        def corrected(x: Tensor, ratio: float) -> Tensor:
            back: Tensor = corruption.A_dagger((y - corruption.A(x)) * observed, size, noise_to_signal=ratio)
            return x + back

        if self.tolerance:
            found = x
            for ratio in _RATIOS:
                missed = ((y - corruption.A(found)) * observed).square().mean(dim=(1, 2, 3)) / observed.mean()
                found = torch.where((missed > self.tolerance**2)[:, None, None, None], corrected(x, ratio), found)
            return found
        for last in [False] * (_ROUNDS - 1) + [True]:
            x = corrected(x, least)
            x = x if last else x.clamp(min=0)
        return x

    def keep_measured(self, restored: npt.NDArray[np.floating[Any]]) -> npt.NDArray[Any]:
        """Put the measured pixels back into (..., H, W[, 3]), bit for bit; the dtype holds both without loss."""
        kind = np.result_type(self.image.dtype, np.float32)
        if not self.measured.any():
            return restored.astype(kind)
        where = self.measured if self.image.ndim == 2 else self.measured[..., None]
        return np.where(where, self.image.astype(kind), restored.astype(kind))


def observe(
    image: npt.ArrayLike,
    corruption: Corruption,
    prior: Prior,
    *,
    spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None,
    pose: bool = True,
    alignment: Alignment | None = None,
    field: bool = True,
) -> Problem:
    """State the problem (see engine/restore.py for the parameters).

    Raises
    ------
    InputError
        The image, the mask, the spacing or the noise level cannot be used.
    """
    array = _checked(image, prior)
    plane = array.shape[0], array.shape[1]
    seen = np.ones(plane, dtype=bool)
    parts = corruption.parts if isinstance(corruption, Compose) else (corruption,)
    if array.ndim == 2 and prior.channels == 3 and not any(isinstance(part, Grayscale) for part in parts):
        raise InputError(f"{prior.info.name} draws colour and the image is gray; choose a prior that draws gray images")
    for part in parts:
        if isinstance(part, Mask) and tuple(part.missing.shape) == plane:
            seen &= part.observed.cpu().numpy()
        elif isinstance(part, Mask):
            rows, columns = part.missing.shape
            raise InputError(
                f"the mask has {rows} x {columns} pixels but the image has {plane[0]} x {plane[1]}; "
                "paint the mask on the same slice"
            )
    if not np.isfinite(array[seen]).all():
        raise InputError(
            "the image holds NaN or infinite pixels that are not masked; mask them or clean the scan first"
        )
    measured_values = array[seen].astype(np.float64)
    if measured_values.min() == measured_values.max():
        raise InputError("all measured pixels have the same value; there is nothing to restore from")

    fine = (int(corruption.image_shape(plane)[0]), int(corruption.image_shape(plane)[1]))
    factor = (fine[0] / plane[0], fine[1] / plane[1])
    if isinstance(corruption, Downsample):
        factor = (float(corruption.factor[0]), float(corruption.factor[1]))  # exact where the sizes are rounded
    grid = grid_of(plane, fine, factor, prior, spacing)
    window = alignment.window if alignment else Window.of(measured_values, prior.info.bright_level)
    known = noise_sigma is not None
    if noise_sigma is None:
        noise_sigma = noise_of(array, seen, corruption, window, coarse=fine != plane)
    elif not 0 <= noise_sigma < np.inf:
        raise InputError(f"noise_sigma must be 0 or above, in the image's units; got {noise_sigma}")

    def levels(pixel: tuple[float, float], gain: float) -> tuple[float, float, float]:
        """Noise of an observed pixel, of so many frame pixels: measurement, representation and both."""
        noise, representation = (
            float(noise_sigma) * gain,
            prior.info.representation_sigma / (pixel[0] * pixel[1]) ** 0.5,
        )
        return noise, representation, max(float(np.hypot(noise, representation)), _ROUNDING)

    notes: list[str] = []
    fitted = False
    fixed = fixed_frame(grid, prior)
    if alignment is not None:
        frame = grid.refined(alignment.frame(grid))
    else:
        model = prior.alignment if pose and corruption.linear else None
        if fixed is not None:
            guess, least = own_frame(grid), _REGISTERED
            model = None if spacing is None else model  # without a pixel size it is the prior's own image
        else:
            (guess, notes), least = first_guess(array, seen, grid, prior), -math.inf
        found = None
        if model is not None:
            sigma = levels(guess.ratio, window.gain)[2]
            found = registered(array, seen, guess, window, model, sigma, least)
        if found is not None:
            guess, window = found
            fitted = True
        frame = fixed if fixed is not None and not fitted else grid.refined(guess)
    pixel = frame.ratio[0] * factor[0], frame.ratio[1] * factor[1]
    noise, representation, sigma = levels(pixel, window.gain)
    device = prior.latents.mean.device
    likelihood = Likelihood(
        observation=grey_tensor(array, seen, window).to(device),
        forward_map=lambda x: corruption.A(frame.to_native(x)),
        observed=torch.from_numpy(seen).to(device, torch.float32)[None, None],
        sigma=sigma,
        linear=bool(corruption.linear),
        weight=_weight(prior, corruption, frame, noise, representation) if field else None,
    )
    if not getattr(corruption, "exact", True):
        notes.append(ESTIMATED)
    masked = isinstance(corruption, Mask)
    unseen = ~seen & ~frame.covered if masked else np.zeros(fine, dtype=bool)
    if unseen.any():
        notes.append(
            f"{int(unseen.sum())} masked pixels lie outside the generator's field of view; they are left black, "
            "with the variance of a uniform guess"
        )
    return Problem(
        image=array,
        corruption=corruption,
        frame=frame,
        alignment=alignment or Alignment.of(frame, window, grid),
        fitted=fitted,
        likelihood=likelihood,
        measured=seen if masked else np.zeros(fine, dtype=bool),
        unseen=unseen,
        noise={"measured": noise, "representation": representation, "pixel": likelihood.sigma},
        pixel=pixel,
        tolerance=noise if known and noise > _SMALL else 0.0,
        notes=notes,
    )


def _weight(
    prior: Prior, corruption: Corruption, frame: Frame, noise: float, representation: float
) -> torch.Tensor | None:
    """Inverse relative noise variance of each observed pixel (1, 1, h, w), where the prior knows it."""
    if prior.residual is None or not corruption.linear or prior.channels != 1:
        return None
    relative = prior.residual.relative_variance[None, None]
    seen = corruption.A(frame.to_native(relative)).clamp(min=float(relative.min()))
    return (noise**2 + representation**2) / (noise**2 + representation**2 * seen)


def _checked(image: npt.ArrayLike, prior: Prior) -> npt.NDArray[Any]:
    array = np.asarray(image)
    if array.dtype.kind not in "biuf":
        raise InputError(f"the image must hold real numbers, got {array.dtype}")
    if array.ndim == 3 and array.shape[2] in (3, 4) and prior.channels == 1:
        raise InputError("the image is in colour but the prior is gray; convert the image to one channel first")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == prior.channels == 3):
        raise InputError(f"restore takes one slice (H, W), got an array of shape {array.shape}; choose one slice of it")
    if min(array.shape[:2]) < 4:
        raise InputError(f"the image is {array.shape[0]} x {array.shape[1]} pixels; at least 4 x 4 are needed")
    return array.astype(np.float32) if array.dtype.kind == "b" or array.dtype == np.float16 else array

"""Placed: where a checked slice lies against the prior, and which of its values are black and white there.

Second of checked -> placed -> observed. A given alignment is taken as it is; else pose and intensity are fitted by the
prior's line, if it has one, from a first guess (placement.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.placement import first_guess, fixed_frame, own_frame
from napari_brgm.engine.pose import fit_pose, half_turn
from napari_brgm.engine.whole_head import unstripped
from napari_brgm.engine.window import Window
from napari_brgm.noise import estimate_noise_sigma

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.corruptions import Frame
    from napari_brgm.engine.checked import CheckedSlice
    from napari_brgm.priors.linear_model import LinearModel
    from napari_brgm.priors.prior import Prior

__all__ = ["NoiseLevels", "PlacedSlice", "grey_tensor", "noise_levels", "placed", "registered"]

_REGISTERED = 40.0  # energy (pose.py) by which another pose must be better for a slice on the prior's own grid
_ROUNDING = 0.29  # grey levels; no image is more exact than its rounding (1 / sqrt(12))
_LARGEST_GUESS = 3.0  # grey levels; noise of a low-resolution image that is not given
_EXACT = 0.1  # of the measured pixels; where so many share the lowest value, it is the background's
_GAINS = (0.2, 5.0)  # beyond these the contrast is not the prior's, and the first guess of the window is kept
_FINER = 0.9  # frame pixels: a native pixel below that holds what the frame does not
_NEAR = 3.0  # grey levels: a fitted black so near to it is it


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """Standard deviations of the noise of an observed pixel, grey levels: measured, of the generator, and both."""

    measured: float
    representation: float
    pixel: float


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSlice:
    """A slice in the generator's frame.

    Attributes
    ----------
    given : CheckedSlice
    frame : Frame
        Between the generator's frame and the restored grid.
    alignment : Alignment
        The same with the window, in a person's terms.
    fitted : bool
        Whether it was fitted to this slice.
    noise : NoiseLevels
    pixel : (float, float)
        Size of an observed pixel in frame pixels, rows and columns.
    notes : list of str
        Sentences for the person.
    """

    given: CheckedSlice
    frame: Frame
    alignment: Alignment
    fitted: bool
    noise: NoiseLevels
    pixel: tuple[float, float]
    notes: list[str]

    @property
    def window(self) -> Window:
        """Between the scan's units and grey levels."""
        return self.alignment.window

    @property
    def finer_than_frame(self) -> bool:
        """Whether native pixels hold what the generator's frame does not."""
        return min(self.frame.ratio) < _FINER


def placed(
    given: CheckedSlice, prior: Prior, *, pose: bool = True, alignment: Alignment | None = None,
    check: Callable[[], None] | None = None,
) -> PlacedSlice:  # fmt: skip
    """Place a slice.

    Parameters
    ----------
    given : CheckedSlice
    prior : Prior
    pose : bool
        Whether pose and intensity are fitted; see ``alignment`` of ``napari_brgm.restore``.
    alignment : Alignment or None
    check : callable, optional
        Called now and then during a fit; what it raises ends it.
    """
    grid = given.grid
    window = alignment.window if alignment else Window.of(given.values, prior.info.bright_level)
    sigma = _measurement_noise(given, window)
    remark = unstripped(given, prior.info)
    notes = [remark] if remark else []
    if alignment is None and window.low > 0 and given.values.min() > 0:
        notes.append(f"no pixel is near 0; {window.low:g}, the darkest of them, was taken to be black")
    fitted = False
    fixed = fixed_frame(grid, prior)
    if alignment is not None:
        frame = grid.refined(alignment.frame(grid))
    else:
        line = prior.parts.line if pose and given.corruption.linear else None
        if fixed is not None:
            guess, least = own_frame(grid), _REGISTERED
        else:
            (guess, doubts), least = first_guess(given, prior), -math.inf
            notes += doubts
        if line is not None:
            noise = noise_levels(guess.ratio, sigma * window.gain, prior).pixel
            found = None
            if fixed is None or grid.spacing_given:
                found = registered(given.image, given.seen, guess, window, line.model, noise, least, check)
            elif prior.info.anatomy:  # without a pixel size the prior's own image, perhaps as radiologists look at it
                found = _other_way_up(given, guess, window, line.model, noise)
            if found is not None:
                (guess, window), fitted = found, True
        frame = fixed if fixed is not None and not fitted else grid.refined(guess)
    pixel = frame.ratio[0] * grid.factor[0], frame.ratio[1] * grid.factor[1]
    return PlacedSlice(
        given, frame, alignment or Alignment.of(frame, window, grid), fitted,
        noise_levels(pixel, sigma * window.gain, prior), pixel, notes,
    )  # fmt: skip


def noise_levels(pixel: tuple[float, float], measured: float, prior: Prior) -> NoiseLevels:
    """Noise of an observed pixel of so many frame pixels, with measurement noise in grey levels."""
    representation = prior.info.representation_sigma / (pixel[0] * pixel[1]) ** 0.5
    return NoiseLevels(measured, representation, max(float(np.hypot(measured, representation)), _ROUNDING))


def _measurement_noise(given: CheckedSlice, window: Window) -> float:
    """Standard deviation of the noise of one observed pixel, in the scan's units: given, f's own, or estimated.

    Pixels larger than those to be restored hold texture that an estimate counts as noise.
    """
    if given.noise_sigma is not None:
        return float(given.noise_sigma)
    seen = given.seen
    if given.corruption.adds_noise:
        known = given.corruption.noise_in(window.to_grey(np.where(seen, given.plane, window.low)))
        if known is not None:
            return known / window.gain
    sigma = estimate_noise_sigma(given.image if given.image.ndim == 2 else given.plane, ~seen)
    return min(sigma, _LARGEST_GUESS / window.gain) if given.grid.fine != given.grid.plane else sigma


def grey_tensor(image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], window: Window) -> torch.Tensor:
    """Grey levels (1, C, h, w), float32, of an image (h, w) or (h, w, 3); black where ``seen`` (h, w) is false."""
    known = seen if image.ndim == 2 else seen[..., None]
    grey = torch.from_numpy(window.to_grey(np.where(known, image, window.low).astype(np.float64))).float()
    return grey[None, None] if image.ndim == 2 else grey.permute(2, 0, 1)[None]


def _other_way_up(
    given: CheckedSlice, frame: Frame, window: Window, model: LinearModel, sigma: float
) -> tuple[Frame, Window] | None:  # fmt: skip
    """The frame turned by half a circle where that explains the slice better, with the window as it is; else None."""
    observed, measured = _observed(given.image, given.seen, window, model)
    turned, improvement = half_turn(frame, model, observed, measured, sigma)
    return (turned, window) if improvement >= _REGISTERED else None


def _observed(
    image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], window: Window, model: LinearModel
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Grey levels (1, C, h, w), and 1 where measured (1, 1, h, w), where the model is."""
    device = model.mean.device
    measured = torch.from_numpy(seen).to(device, torch.float32)[None, None]
    return grey_tensor(image, seen, window).to(device), measured


def registered(
    image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], frame: Frame, window: Window, model: LinearModel,
    sigma: float, least_improvement: float = -math.inf, check: Callable[[], None] | None = None,
) -> tuple[Frame, Window] | None:  # fmt: skip
    """Frame and window that the prior explains the measured pixels best with.

    None where they are not better than the first guesses by at least ``least_improvement`` (energy, pose.py).

    Parameters
    ----------
    image : (h, w) or (h, w, 3) ndarray
        The slice as given, in its own units.
    seen : (h, w) bool ndarray
        True where measured.
    frame, window : Frame, Window
        First guesses; the frame is the given slice's.
    model : LinearModel
    sigma : float
        Noise of an observed pixel, grey levels.
    check : callable, optional
        As in ``placed``.
    """
    observed, measured = _observed(image, seen, window, model)
    fit = fit_pose(frame, model, observed, measured, sigma, check)
    if fit.improvement < least_improvement:
        return None
    if not (_GAINS[0] < fit.gain < _GAINS[1] and np.isfinite(fit.offset)):
        return fit.frame, window
    low, high = window.from_grey(np.array([fit.offset, fit.offset + 255 * fit.gain])).tolist()
    values = image[seen]
    least = float(values.min())
    if np.mean(values == least) >= _EXACT and abs(least - low) * Window(low, high).gain < _NEAR:
        low = least
    return fit.frame, Window(low, high)

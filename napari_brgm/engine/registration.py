"""Registration: pose and intensity of one slice, fitted to what is measured of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.frame import Frame, Window
from napari_brgm.engine.pose import fit_pose

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.priors.linear_gaussian import LinearGaussian

__all__ = ["grey_tensor", "registered"]

_EXACT = 0.1  # of the measured pixels; where so many share the lowest value, it is the background's
_GAINS = (0.2, 5.0)  # beyond these the contrast is not the prior's, and the first guess of the window is kept
_NEAR = 3.0  # grey levels: a fitted black so near to it is it


def grey_tensor(image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], window: Window) -> torch.Tensor:
    """Grey levels (1, C, h, w), float32, of an image (h, w) or (h, w, 3); black where ``seen`` (h, w) is false."""
    known = seen if image.ndim == 2 else seen[..., None]
    grey = torch.from_numpy(window.to_grey(np.where(known, image, window.low).astype(np.float64))).float()
    return grey[None, None] if image.ndim == 2 else grey.permute(2, 0, 1)[None]


def registered(
    image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], frame: Frame, window: Window, part: LinearGaussian,
    sigma: float,
    least_improvement: float = -math.inf,
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
    part : LinearGaussian
    sigma : float
        Noise of an observed pixel, grey levels.
    """
    device = part.mean.device
    observed = grey_tensor(image, seen, window).to(device)
    fit = fit_pose(frame, part, observed, torch.from_numpy(seen).to(device, torch.float32)[None, None], sigma)
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

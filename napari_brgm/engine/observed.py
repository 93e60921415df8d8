"""Observed: the inverse problem of a placed slice in grey levels, and the way back to its pixels and units.

Last of checked -> placed -> observed; ``observe`` is all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.engine.checked import checked
from napari_brgm.engine.placed import grey_tensor, placed
from napari_brgm.engine.provenance import ESTIMATED
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.lossless import with_measured
from napari_brgm.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.corruptions import Corruption, LinearOperator
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.placed import PlacedSlice
    from napari_brgm.engine.window import Window
    from napari_brgm.priors.prior import Prior

__all__ = ["Problem", "observe", "observed"]

_ROUNDS = 4  # of back-projection, alternating with the lower bound of the window
_SMALL = 1.0  # grey levels; noise up to which the data are met exactly
_RATIOS = tuple(3.0**-k for k in range(-3, 10))  # tried in turn, noise over signal of a fine pixel
_UNSTABLE_RATIO = 1e-2  # noise to signal in the pseudo-inverse of what amplifies noise, such as blurs


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """An inverse problem, and the way back from generator images to the scan's pixels and units.

    Attributes
    ----------
    placed : PlacedSlice
    likelihood : Likelihood
    unseen : (H, W) bool ndarray
        Hidden pixels outside the generator frame, of which nothing is known.
    tolerance : float
        Root mean square, grey levels, by which f of a result may miss the data; 0 where the noise is small or nobody
        has given it, so that the data are met exactly.
    notes : list of str
        Sentences for the person, for instance about parts that lie outside the generator frame.
    """

    placed: PlacedSlice
    likelihood: Likelihood
    unseen: npt.NDArray[np.bool_]
    tolerance: float
    notes: list[str]

    @property
    def window(self) -> Window:
        """Between the scan's units and grey levels."""
        return self.placed.window

    @property
    def corruption(self) -> LinearOperator:
        """What happened to the image: f on the restored grid."""
        return self.placed.given.corruption

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """(H, W): pixels of the restored grid that are kept as measured."""
        return self.placed.given.kept

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the restored grid."""
        return self.placed.given.grid.fine

    def finish(
        self, images: Tensor, consistent: bool, check: Callable[[], None] | None = None
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Generator images (B, C, R, R) as restored slices (B, H, W[, 3]) in the scan's units.

        ``check`` is called now and then; what it raises ends the work.
        """
        x = self.placed.frame.A(to_grey(images)).clamp(min=0)
        if consistent and self.likelihood.linear and self.corruption.exact and not self.measured.any():
            x = self._consistent(x, check)
        grey = x.double().cpu().numpy()
        grey = grey[:, 0] if grey.shape[1] == 1 else np.moveaxis(grey, 1, -1)
        return np.asarray(self.window.from_grey(grey), dtype=np.float64)

    def _consistent(self, x: Tensor, check: Callable[[], None] | None) -> Tensor:
        """X + A^+ (y - A x), a few rounds with the bound at black between them (the last word is the data's).

        Where the data have known noise, by the regularised inverse, as strong as brings f(x) just within that noise
        (Morozov's discrepancy principle; Engl, Hanke and Neubauer 1996, Sec. 4.3): noise is not to be restored.
        """
        f = self.corruption
        size = (int(x.shape[-2]), int(x.shape[-1]))
        y, seen = self.likelihood.y.to(x), self.likelihood.observation.measured.to(x)

        def corrected(x: Tensor, ratio: float) -> Tensor:
            missed = (y - f.A(x)) * seen
            if f.iterative and ratio:
                return x + tikhonov_inverse(f.A, lambda r: f.A_adjoint(r, size), missed, ratio, check=check)
            if check is not None:
                check()
            return x + f.A_dagger(missed, size, noise_to_signal=ratio)

        if self.tolerance:
            found = x
            for ratio in _RATIOS:
                missed = ((y - f.A(found)) * seen).square().mean(dim=(1, 2, 3)) / seen.mean()
                found = torch.where((missed > self.tolerance**2)[:, None, None, None], corrected(x, ratio), found)
            return found
        least = 0.0 if f.well_posed((int(y.shape[-2]), int(y.shape[-1]))) else _UNSTABLE_RATIO
        for last in [False] * (_ROUNDS - 1) + [True]:
            x = corrected(x, least)
            x = x if last else x.clamp(min=0)
        return x

    def keep_measured(self, restored: npt.NDArray[np.floating[Any]]) -> npt.NDArray[Any]:
        """Put the measured pixels back into (..., H, W[, 3]), bit for bit (lossless.py says in which type)."""
        image, kept = self.placed.given.image, self.measured
        if not kept.any():
            return restored.astype(np.result_type(image.dtype, np.float32))
        return with_measured(restored, image, kept if image.ndim == 2 else kept[..., None])


def observe(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, *, spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None, pose: bool = True, alignment: Alignment | None = None, field: bool = True,
    check: Callable[[], None] | None = None,
) -> Problem:  # fmt: skip
    """State the problem of one slice; parameters as in ``napari_brgm.restore``, ``placed`` and ``observed``.

    Raises
    ------
    InputError
        The image, the mask, the spacing or the noise level cannot be used.
    """
    given = checked(image, corruption, prior, spacing, noise_sigma)
    return observed(placed(given, prior, pose=pose, alignment=alignment, check=check), prior, field=field)


def observed(slice_: PlacedSlice, prior: Prior, *, field: bool = True) -> Problem:
    """State the problem of a placed slice; ``field``: weigh pixels by what the prior knows of its residual."""
    given, noise = slice_.given, slice_.noise
    f = given.corruption
    device = prior.latents.mean.device
    observation = Observation(
        corruption=f,
        measured=torch.from_numpy(given.seen).to(device, torch.float32)[None, None],
        sigma=noise.pixel,
        weight=_weight(slice_, prior) if field else None,
        frame=slice_.frame,
    )
    notes = list(slice_.notes)
    if not f.exact:
        notes.append(ESTIMATED)
    unseen = np.zeros(given.grid.fine, dtype=bool)
    if given.kept.any():
        unseen = ~given.kept & ~slice_.frame.covered
    if unseen.any():
        notes.append(
            f"{int(unseen.sum())} masked pixels lie outside the generator's field of view; they are left black, "
            "with the variance of a uniform guess"
        )
    y = grey_tensor(given.image, given.seen, slice_.window).to(device)
    known = given.noise_sigma is not None and noise.measured > _SMALL
    return Problem(slice_, Likelihood(observation, y), unseen, noise.measured if known else 0.0, notes)


def _weight(slice_: PlacedSlice, prior: Prior) -> Tensor | None:
    """Inverse relative noise variance of each observed pixel (1, 1, h, w), where the prior knows it."""
    f, noise, residual = slice_.given.corruption, slice_.noise, prior.parts.residual
    if residual is None or not f.linear or prior.channels != 1:
        return None
    relative = residual.relative_variance[None, None]
    seen = f.A(slice_.frame.A(relative)).clamp(min=float(relative.min()))
    own, drawn = noise.measured**2, noise.representation**2
    return (own + drawn) / (own + drawn * seen)

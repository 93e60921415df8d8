"""restore(): a slice in native pixels and units -> generator frame -> inference -> back to the native or finer grid.

    f = corruption o (frame -> native grid),   y = window(image)      in grey levels 0..255
    estimate = window^-1( x + A^+ (y - A x) ),  x = G(w) + e on the native or finer grid  (hard data consistency)

e is what the generator cannot draw, given the data (inference/residual.py), where the prior has a model of it.

In-painting returns the measured pixels bit for bit. Super-resolution returns a finer grid over the same rectangle.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, get_args

from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.memory import within_memory
from napari_brgm.engine.run import IMAGES, How, Observed, run_together
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.inference import Step
from napari_brgm.settings import InferenceSettings, Method, preset

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.priors.prior import Prior

__all__ = ["restore", "restore_steps", "restore_together"]

Callback = Callable[[Step], bool | None]


def restore(
    image: npt.ArrayLike,
    corruption: Corruption,
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None,
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
    callback: Callback | None = None,
) -> Restoration:
    """Restore one slice.

    Parameters
    ----------
    image : (H, W) array-like
        The observation, in any real units; for ``Downsample`` the low-resolution image. (H, W, 3) for a colour prior.
    corruption : Corruption
        What happened to the image: ``Mask(missing)``, ``Downsample(factor)``, ...
    prior : Prior
        From ``load_prior``.
    method : {'map', 'laplace', 'vi'}
        Maximum a posteriori with a Gaussian round it ('map': by the generator's linear part, where it has one;
        'laplace': by its own Jacobian, slower), or variational inference (BRGM Eq. 6, Eq. 8).
    samples : int
        Posterior draws behind mean and variance, at least 2.
    seed : int
        Of everything random; the same seed gives the same result on the same device.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    spacing : (row, column) of float or None
        Pixel size of ``image`` in mm; None means the prior's own pixel size (times the factor for super-resolution).
    noise_sigma : float or None
        Standard deviation of the noise of ``image`` in its own units; None: estimated from it.
    settings : InferenceSettings or None
        None means the preset that suits the prior (``prior.preset``).
    alignment : Alignment or None
        Where the scan lies against the prior, and its black and white; taken as it is, whatever the settings say. None:
        fitted to the slice, if ``settings.fit_pose`` is on; else from the box and the percentiles of what is measured.
        A slice on the prior's own grid is taken as it is where ``spacing`` is None; else it is fitted, and the fit kept
        where it is clearly better. Either way ``provenance["alignment"]`` tells it.
    callback : callable or None
        Called with every Step; returning False stops the run.

    Returns
    -------
    Restoration

    Raises
    ------
    InputError, DeviceError, Cancelled
        With one sentence that says what to do.
    """
    run = restore_steps(
        image, corruption, prior, method=method, samples=samples, seed=seed, device=device, spacing=spacing,
        noise_sigma=noise_sigma, settings=settings, alignment=alignment,
    )  # fmt: skip
    while True:
        try:
            step = next(run)
        except StopIteration as end:
            result: Restoration = end.value
            return result
        if callback is not None and callback(step) is False:
            run.close()
            raise Cancelled(f"stopped after step {step.iteration} of {step.total}")


def restore_steps(
    image: npt.ArrayLike,
    corruption: Corruption,
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None,
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
) -> Generator[Step, None, Restoration]:
    """The same as ``restore``, as a generator of Steps that returns the Restoration; closing it cancels."""
    one = Observed(image, lambda: corruption, spacing, noise_sigma)
    steps = restore_together(
        [one], prior, method=method, samples=samples, seed=seed, device=device, settings=settings, alignment=alignment
    )
    while True:
        try:
            _, step = next(steps)
        except StopIteration as end:
            (result,) = end.value
            if isinstance(result, InputError):
                raise result from None
            return result  # type: ignore[no-any-return]
        yield step


def restore_together(
    slices: Sequence[Observed],
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
) -> Generator[tuple[int, Step], None, list[Restoration | InputError]]:
    """Several slices side by side: up to the maximum one synthesis serves up to eight of them, as memory allows.

    Parameters are as in ``restore``. Yields the index of a slice and its step; returns one result for each, an error
    where a slice cannot be restored.

    Raises
    ------
    InputError, DeviceError
        What was asked for cannot be done with any slice.
    """
    settings = settings or preset(prior.preset)
    if method not in get_args(Method):
        raise InputError(f"method must be 'map', 'laplace' or 'vi', got {method!r}")
    if method != "map" and settings.prior_density == "flat":
        raise InputError(f"{prior.info.name} has no density that method {method!r} could use; choose method 'map'")
    if samples < 2:
        raise InputError(f"samples must be at least 2 to give a variance, got {samples}")

    def run(
        chosen: torch.device, batch: int, notes: list[str]
    ) -> Generator[tuple[int, Step], None, list[Restoration | InputError]]:
        fewer = max(settings.vi_samples_per_step * batch // IMAGES, 1)
        how = How(method, int(samples), int(seed), settings.but(vi_samples_per_step=fewer), chosen, alignment)
        return run_together(slices, prior.to(chosen), how, notes, batch)

    return (yield from within_memory(run, pick_device(device), IMAGES, cpu=device == "auto"))

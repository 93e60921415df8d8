"""restore(): one slice in native pixels and units; a job of one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.corruptions import as_corruption
from napari_brgm.engine.head import Head
from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.run import run
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.inference import Step
from napari_brgm.scans.strip import Brain

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["restore", "restore_steps"]

Callback = Callable[[Step], bool | None]


def restore(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, *, method: str = "map", samples: int = 32,
    seed: int = 0, device: str = "auto", spacing: tuple[float, float] | None = None, noise_sigma: float | None = None,
    settings: InferenceSettings | None = None, alignment: Alignment | None = None,
    second: npt.ArrayLike | None = None, brain: Brain | npt.ArrayLike | None = None, callback: Callback | None = None,
) -> Restoration:  # fmt: skip
    """Restore one slice.

    Parameters
    ----------
    image : (H, W) array-like
        The observation, in any real units; for ``Downsample`` the low-resolution image. (H, W, 3) for a colour prior.
    corruption : Corruption
        What happened to the image: ``Mask(missing)``, ``Downsample(factor)``, ... or another library's linear operator
        with ``A``, ``A_adjoint`` and ``A_dagger``.
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
        Pixel size of ``image`` in mm; None means the prior's own pixel size (times the factor for super-resolution), or
        where the result would be more than 2.5 frames across, the one at which its longer side is as long as the frame.
    noise_sigma : float or None
        Standard deviation of the noise of ``image`` in its own units; None: estimated from it.
    settings : InferenceSettings or None
        None means the preset that suits the prior (``prior.info.preset``).
    alignment : Alignment or None
        Where the scan lies against the prior, and its black and white; taken as it is, whatever the settings say. None:
        fitted to the slice, if ``settings.fit_pose`` is on; else from the box and the percentiles of what is measured.
        A slice on the prior's own grid is taken as it is where ``spacing`` is None; else it is fitted, and the fit kept
        where it is clearly better. Either way ``provenance["alignment"]`` tells it.
    second : (H, W) array-like or None
        For ``Mask``: what another scan of the patient saw of the same slice, on the grid of ``image`` in its own units
        and no number where it saw nothing (``resampled_onto``, ``Scan.slice``). It is matched to ``image`` near the
        hole and then measures what is hidden there, with noise of as much as the two differ (engine/second_scan.py).
    brain : (H, W) Brain or array-like of bool, or None
        Of a whole head: which pixels of ``image`` are brain (``find_brain(scan).slice(scan, plane, index)``). The prior
        sees these alone; in the result all others are as given, and a hole is restored inside the brain only: what is
        missing outside, or no number, does not count as measured there. None: the image is what the prior knows, such
        as a brain without skull.
    callback : callable or None
        Called with every Step, and with the last one again while a step takes long; returning False, or raising
        ``Cancelled``, stops the run.

    Returns
    -------
    Restoration

    Raises
    ------
    InputError, DeviceError, Cancelled
        With one sentence that says what to do.
    """
    one = ObservedSlice(image, lambda: corruption, spacing, noise_sigma)
    head = None
    if brain is not None:
        head = Head.of(image, Brain.of(brain), corruption)
        one = head.observed(one)
    if second is not None:
        one = replace(one, second=_matched(second, one, head))
    job = Job((one,), prior, settings, method, samples, seed, device, alignment)

    def told(step: Step) -> None:
        answer = None if callback is None else callback(step)
        if isinstance(answer, bool | np.bool_) and not answer:
            raise Cancelled(f"stopped after step {step.iteration} of {step.total}")

    (result,) = run(job, told)
    assert not isinstance(result, InputError)  # a job of one raises what was wrong with it
    return result if head is None else head.beside(result)


def _matched(second: npt.ArrayLike, given: ObservedSlice, head: Head | None) -> SecondScan:
    first = np.asarray(given.image)
    hidden = as_corruption(given.corruption()).hidden((first.shape[0], first.shape[1])) if first.ndim == 2 else None
    if hidden is None or hidden.ndim != 2:
        raise InputError("a second scan helps to fill holes in gray slices; leave it out")
    measured = ~hidden.numpy()
    return SecondScan.matched(second, first, measured if head is None else measured & head.brain.inside)


def restore_steps(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, *, method: str = "map", samples: int = 32,
    seed: int = 0, device: str = "auto", spacing: tuple[float, float] | None = None, noise_sigma: float | None = None,
    settings: InferenceSettings | None = None, alignment: Alignment | None = None,
    second: npt.ArrayLike | None = None, brain: Brain | npt.ArrayLike | None = None,
) -> Generator[Step, None, Restoration]:  # fmt: skip
    """``restore`` as a generator of its steps that returns the Restoration; closing it cancels.

    It works in a thread of its own, one step at a time, while the next one is asked for.
    """
    told: SimpleQueue[Step | Restoration | BaseException] = SimpleQueue()
    go: SimpleQueue[bool] = SimpleQueue()

    last = [0]  # number of the step that was given last: none is given twice

    def tell(step: Step) -> bool:
        if step.iteration == last[0]:
            return True
        last[0] = step.iteration
        told.put(step)
        return go.get()

    def work() -> None:
        try:
            found = restore(
                image, corruption, prior, method=method, samples=samples, seed=seed, device=device, spacing=spacing,
                noise_sigma=noise_sigma, settings=settings, alignment=alignment, second=second, brain=brain,
                callback=tell,
            )  # fmt: skip
            told.put(found)
        except BaseException as error:  # whatever it is, it belongs to the one who asked
            told.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while isinstance(found := told.get(), Step):
            yield found
            go.put(True)
    finally:
        go.put(False)
        thread.join()
    if isinstance(found, BaseException):
        raise found
    return found

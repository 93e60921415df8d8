"""What a generative restoration is measured against: classical in-painting, interpolation, the linear-Gaussian prior.

Every rival maps observations (N, h, w) of a task to predictions (N, 128, 128), grey levels 0..255, unclipped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.errors import InputError
from napari_brgm.evaluation.dataset import FRAME, read_brain_slices
from napari_brgm.evaluation.method import Progressed
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import Differentiated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.floating]

__all__ = [
    "OPENCV_RIVALS",
    "Rival",
    "TrainingSet",
    "bicubic",
    "biharmonic",
    "hard_consistency",
    "linear_gaussian",
    "opencv",
    "opencv_inpaint",
    "rivals",
]

OPENCV_RIVALS = ("telea", "navier-stokes")
ROUNDS = 8  # of back-projection
# Effective white-noise variances of the 1,024-component model in grey levels squared. Its true residual is 14, but
# correlated over a hole. Low-resolution pixels average much of the residual out; 50 and 1700 / factor^2 were found by a
# scan on the validation slices, which favours these rivals.
HOLE_NOISE = 8500.0
LOW_RES_NOISE = 50.0
LOW_RES_NOISE_HARD = 1700.0  # / factor^2; before hard data consistency a stiffer prior is better


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """A method of the table that does all slices at once.

    Attributes
    ----------
    solves : callable
        Which tasks it can do.
    predict : callable
        (observed, task) -> (N, 128, 128).
    prepare : callable or None
        What is learned once; not counted as its time.
    """

    name: str
    title: str
    solves: Callable[[Task], bool]
    predict: Callable[[Images, Task], Images]
    prepare: Callable[[], object] | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Nothing but the code."""
        return {}

    def measure(
        self, observed: Images, task: Task, done: Progressed | None, keep: Callable[[Progressed], None]
    ) -> Progressed:
        """All at once."""
        if self.prepare:
            self.prepare()
        start = time.perf_counter()
        predictions = self.predict(observed, task)
        return Progressed(predictions, None, time.perf_counter() - start)


class TrainingSet:
    """The training slices and what is learned from them, each computed at first use.

    Parameters
    ----------
    path : Path
        ``brain_train.zip``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def images(self) -> npt.NDArray[np.float32]:  # (5088, 128, 128)
        return read_brain_slices(self.path).images

    @cached_property
    def mean(self) -> npt.NDArray[np.float32]:
        return np.asarray(self.images.mean(axis=0, dtype=np.float64), dtype=np.float32)

    @lru_cache(maxsize=2)  # noqa: B019 -- one object a run, and a model is 67 MB
    def linear_gaussian(self, components: int) -> LinearGaussian:
        """Probabilistic PCA of the slices, which takes about half a minute."""
        return LinearGaussian.fit(torch.from_numpy(self.images)[:, None] / 127.5 - 1.0, components)


def opencv_inpaint(observed: Images, task: Task, *, flag: str) -> Images:
    """Telea (``flag='INPAINT_TELEA'``) or Navier-Stokes (``'INPAINT_NS'``) on 8 bits, radius 3.

    Raises
    ------
    InputError
        OpenCV is not installed.
    """
    cv2 = opencv()
    hole = task.region.astype(np.uint8)
    painted = [cv2.inpaint(np.round(image).astype(np.uint8), hole, 3, getattr(cv2, flag)) for image in observed]
    return np.stack(painted).astype(np.float32)


def biharmonic(observed: Images, task: Task) -> Images:
    """Biharmonic in-painting of scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    return np.stack([inpaint_biharmonic(image.astype(np.float64), task.region) for image in observed])


def bicubic(observed: Images, task: Task) -> Images:
    """Bicubic interpolation (a = -0.75) to 128 x 128, pixel centres by the half-pixel shift."""
    fine: Images = _enlarge(torch.from_numpy(np.asarray(observed, dtype=np.float32))[:, None], task)[:, 0].numpy()
    return fine


def hard_consistency(predictions: Images, observed: Images, task: Task) -> Images:
    """Eight rounds of back-projection, ``x + U (y - A x)`` with U the bicubic enlargement."""
    x = torch.from_numpy(np.asarray(predictions, dtype=np.float32))[:, None]
    y = torch.from_numpy(np.asarray(observed, dtype=np.float32))[:, None]
    for _ in range(ROUNDS):
        x = x + _enlarge(y - task.apply(x), task)
    projected: Images = x[:, 0].numpy()
    return projected


def linear_gaussian(observed: Images, task: Task, model: LinearGaussian, noise_variance: float) -> Images:
    """Posterior mean of ``model`` for all slices at once; ``noise_variance`` in grey levels squared.

    The precision does not depend on the observation, so that it is factored once a task.
    """
    y = torch.from_numpy(np.asarray(observed, dtype=np.float32))[:, None] / 127.5 - 1.0
    if task.missing is not None:
        y = task.apply(y)  # zero in the hole, as A gives it in the [-1, 1] range
    variance = noise_variance / 127.5**2
    operator = Differentiated(task.apply, tuple(model.mean.shape))
    factor = torch.linalg.cholesky(model.posterior(y[:1], operator, variance).precision.double())
    b = task.apply(model.basis).flatten(1)  # (K, M)
    right = b @ (y - task.apply(model.mean[None])).flatten(1).T / variance  # (K, N)
    latents = torch.cholesky_solve(right.double(), factor).T.to(b.dtype)  # (N, K)
    images: Images = (127.5 * (model.synthesize(latents[:, None])[:, 0] + 1.0)).numpy()
    return images


def rivals(training: TrainingSet) -> tuple[Rival, ...]:
    """All rivals of the table, in its order."""

    def mean_image(observed: Images, task: Task) -> Images:
        return np.broadcast_to(training.mean, (len(observed), FRAME, FRAME))

    def narrow(observed: Images, task: Task) -> Images:
        model = training.linear_gaussian(64)
        return linear_gaussian(observed, task, model, 127.5**2 * model.noise_variance)

    def tuned(observed: Images, task: Task) -> Images:
        variance = HOLE_NOISE if task.factor == 1 else LOW_RES_NOISE
        return linear_gaussian(observed, task, training.linear_gaussian(1024), variance)

    def tuned_hard(observed: Images, task: Task) -> Images:
        variance = LOW_RES_NOISE_HARD / task.factor**2
        start = linear_gaussian(observed, task, training.linear_gaussian(1024), variance)
        return hard_consistency(start, observed, task)

    def bicubic_hard(observed: Images, task: Task) -> Images:
        return hard_consistency(bicubic(observed, task), observed, task)

    def learn(components: int) -> Callable[[], object]:
        return lambda: training.linear_gaussian(components)

    telea, stokes = (partial(opencv_inpaint, flag=flag) for flag in ("INPAINT_TELEA", "INPAINT_NS"))
    return (
        Rival("telea", "Telea (radius 3)", _is_hole, telea, opencv),
        Rival("navier-stokes", "Navier-Stokes (radius 3)", _is_hole, stokes, opencv),
        Rival("biharmonic", "biharmonic", _is_hole, biharmonic),
        Rival("mean-image", "mean training image", _is_hole, mean_image, lambda: training.mean),
        Rival("linear-64", "linear-Gaussian posterior, 64 components", _is_hole, narrow, learn(64)),
        Rival("linear-1024", "linear-Gaussian posterior, tuned", lambda task: True, tuned, learn(1024)),
        Rival("linear-1024-hard", "the same with hard data consistency", _is_low_res, tuned_hard, learn(1024)),
        Rival("bicubic", "bicubic", _is_low_res, bicubic),
        Rival("bicubic-hard", "bicubic with back-projection", _is_low_res, bicubic_hard),
    )


def _is_hole(task: Task) -> bool:
    return task.missing is not None


def _is_low_res(task: Task) -> bool:
    return task.missing is None


def _enlarge(images: Tensor, task: Task) -> Tensor:  # (N, 1, h, w) -> (N, 1, h f, w f)
    return F.interpolate(images, scale_factor=float(task.factor), mode="bicubic", align_corners=False)


def opencv() -> Any:
    """Give the cv2 module.

    Raises
    ------
    InputError
        OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            "Telea and Navier-Stokes need OpenCV; install it with `pip install napari-brgm[evaluation]`"
        ) from error
    return cv2

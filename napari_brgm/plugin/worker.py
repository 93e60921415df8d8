"""Run a restoration in napari's worker thread: the one place where the engine and threads meet.

Two habits of napari's generator workers are put right here: a RuntimeError (running out of GPU memory is one) would
vanish without a signal, and after ``quit()`` the generator would stay suspended and keep its memory.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from superqt.utils import GeneratorWorker

from napari_brgm.errors import BrgmError, DeviceError, InputError

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.settings import Method, Quality

__all__ = ["Job", "RestorationWorker", "as_told", "load_triton_apart", "start"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One restoration, free of Qt and napari; exactly one of the four tasks is given.

    Attributes
    ----------
    image : (H, W) float32 ndarray
        The slice as shown, in its own units.
    prior : str
        Name in the registry of weights, or a path.
    missing : (H, W) bool ndarray or None
        In-painting: true where to.
    factor : int or None
        Super-resolution: result pixels per pixel along each axis.
    jpeg_quality : int or None
        Cleaning: quality, 1 to 100, of the JPEG that the slice went through.
    noise_sigma : float or None
        Cleaning: standard deviation of plain noise in the image's units; 0: estimated from it.
    spacing : (float, float) or None
        Pixel size (row, column), mm.

    Raises
    ------
    InputError
        No task is given, or more than one.
    """

    image: npt.NDArray[np.float32]
    prior: str
    missing: npt.NDArray[np.bool_] | None = None
    factor: int | None = None
    jpeg_quality: int | None = None
    noise_sigma: float | None = None
    method: Method = "map"
    device: str = "auto"
    quality: Quality = "standard"
    samples: int = 32
    seed: int = 0
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        tasks = (self.missing, self.factor, self.jpeg_quality, self.noise_sigma)
        if sum(task is not None for task in tasks) != 1:
            raise InputError("a job is one task: a mask, a factor, a JPEG quality or a noise level")

    def corruption(self) -> Corruption:
        """What happened to the image."""
        from napari_brgm.corruptions import Downsample, Identity, Jpeg, Mask

        if self.missing is not None:
            return Mask(self.missing)
        if self.factor is not None:
            return Downsample(self.factor)
        return Identity() if self.jpeg_quality is None else Jpeg(self.jpeg_quality)


def engine(job: Job) -> Generator[Step, None, Restoration]:
    """Run the job on the engine; torch is imported here, so that napari opens without it."""
    load_triton_apart()
    from napari_brgm.engine.restore import restore_steps
    from napari_brgm.settings import settings_for
    from napari_brgm.zoo.registry import load_prior

    prior = load_prior(job.prior)
    steps: Generator[Step, None, Restoration] = restore_steps(
        job.image, job.corruption(), prior, method=job.method, samples=job.samples, seed=job.seed, device=job.device,
        spacing=job.spacing, noise_sigma=job.noise_sigma or None, settings=settings_for(prior.preset, job.quality),
    )  # fmt: skip
    return steps


def load_triton_apart() -> None:
    """Keep triton's LLVM from that of the OpenGL driver.

    torch's optimisers import triton, whose library exports its own LLVM. With Mesa's libLLVM in the process, as in any
    napari window that Mesa draws, its symbols would bind to that other version and the process would crash.
    """
    if "triton" in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        with suppress(ImportError):  # torch does without
            import triton  # noqa: F401
    finally:
        sys.setdlopenflags(flags)


class RestorationWorker(GeneratorWorker):
    """Worker whose generator is closed in its own thread when it ends, however it ends."""

    def work(self) -> Any:
        try:
            return super().work()
        finally:
            self._gen.close()


def start(job: Job, connect: dict[str, Any]) -> RestorationWorker:
    """Start the job in a thread; ``connect`` maps signal names to slots of the main thread.

    ``quit()`` of the worker cancels within one step; then 'aborted' and 'finished' are emitted, and not 'returned'.
    """
    worker: RestorationWorker = create_worker(
        _restoration, job, _worker_class=RestorationWorker, _connect=connect, _start_thread=True, _ignore_errors=True
    )
    return worker


def _restoration(job: Job) -> Generator[Step, None, Restoration]:
    try:
        return (yield from engine(job))
    except RuntimeError as error:
        raise as_told(error, "the restoration") from error


def as_told(error: RuntimeError, what: str) -> BrgmError:
    """What a person is told of an error of torch's that stopped ``what``."""
    if type(error).__name__ == "OutOfMemoryError":
        return DeviceError("out of memory on the device; choose the device 'cpu' or close other programs")
    return BrgmError(f"{what} stopped: {error}")

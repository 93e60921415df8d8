"""Run a restoration in napari's worker thread: the one place where the engine and threads meet.

Two habits of napari's generator workers are put right here: a RuntimeError (running out of GPU memory is one) would
vanish without a signal, and after ``quit()`` the generator would stay suspended and keep its memory.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from superqt.utils import GeneratorWorker

from napari_brgm.errors import BrgmError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.volume import SliceStep
    from napari_brgm.errors import InputError
    from napari_brgm.plugin.job import Job

__all__ = ["RestorationWorker", "as_told", "load_triton_apart", "start"]


def engine(job: Job) -> Generator[SliceStep, None, list[Restoration | InputError]]:
    """Run the job on the engine; torch is imported here, so that napari opens without it."""
    load_triton_apart()
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.volume import Observed, restore_slices
    from napari_brgm.settings import settings_for
    from napari_brgm.zoo.registry import load_prior

    prior = load_prior(job.prior)
    settings = settings_for(prior.preset, job.quality)
    steps: Generator[SliceStep, None, list[Restoration | InputError]] = restore_slices(
        [Observed(p.image, p.corruption, p.spacing, p.noise_sigma or None) for p in job.pieces],
        prior,
        method=job.method,
        samples=job.samples,
        seed=job.seed,
        device=job.device,
        settings=settings if job.fit_alignment else settings.but(fit_pose=False),
        alignment=None if job.alignment is None else Alignment.from_dict(job.alignment),
    )
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


def _restoration(job: Job) -> Generator[SliceStep, None, list[Restoration | InputError]]:
    try:
        return (yield from engine(job))
    except RuntimeError as error:
        raise as_told(error, "the restoration") from error
    finally:
        _free_gpu()


def _free_gpu() -> None:
    """Give cached GPU memory back to other programs; nothing to do where torch was never loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def as_told(error: RuntimeError, what: str) -> BrgmError:
    """What a person is told of an error of torch's that stopped ``what``."""
    if type(error).__name__ == "OutOfMemoryError":
        return DeviceError("out of memory on the device; choose the device 'cpu' or close other programs")
    return BrgmError(f"{what} stopped: {error}")

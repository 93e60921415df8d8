"""Memory: what a run does when the GPU is full: fewer images at a time, and at last the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch

from napari_brgm.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["within_memory"]

S = TypeVar("S")
R = TypeVar("R")


def within_memory(
    run: Callable[[torch.device, int, list[str]], Generator[S, None, R]], device: torch.device, batch: int, *, cpu: bool
) -> Generator[S, None, R]:
    """Run with ``batch`` images at a time, from the start again with half as many each time that the GPU is full.

    Parameters
    ----------
    run : callable
        (device, batch, notes) -> the run; the notes say what has happened so far.
    device : torch.device
    batch : int
        Images at a time.
    cpu : bool
        Whether to go to the CPU where even one image is too many.

    Raises
    ------
    DeviceError
        There is not enough memory, and nothing else to be tried.
    """
    left = batch
    notes: list[str] = []
    while True:
        try:
            return (yield from run(device, left, notes))
        except torch.cuda.OutOfMemoryError:
            full = True  # leave the handler first: its traceback holds the tensors
        except RuntimeError as error:
            if "not enough memory" not in str(error):
                raise
            full = False
        if not full:
            raise DeviceError("there is not enough memory for this run; choose fewer samples or a smaller image")
        torch.cuda.empty_cache()
        if left > 1:
            left //= 2
            notes = [
                f"the GPU ran out of memory; this run was repeated with at most {left} of {batch} images at a time"
            ]
        elif cpu:
            notes = [*notes, "the GPU ran out of memory; this run was repeated on the CPU"]
            device, left, cpu = torch.device("cpu"), batch, False
        else:
            raise DeviceError("the GPU ran out of memory; choose device 'cpu', or close other programs on it")

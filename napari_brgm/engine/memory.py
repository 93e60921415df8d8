"""Memory: what a run does when the GPU is full: fewer images at a time, and at last the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from napari_brgm.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["Attempt", "attempts"]


class Attempt:
    """One try at a run; entered with ``with``, it takes up the error of a full GPU.

    Attributes
    ----------
    device : torch.device
    batch : int
        Images at a time.
    notes : list of str
        What has happened so far.
    full : bool
        Whether the GPU was too full for it.
    """

    def __init__(self, device: torch.device, batch: int, notes: list[str]) -> None:
        self.device, self.batch, self.notes, self.full = device, batch, notes, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.full = isinstance(error, torch.cuda.OutOfMemoryError)
        if isinstance(error, RuntimeError) and not self.full and "not enough memory" in str(error):
            raise DeviceError("there is not enough memory for this run; choose fewer samples or a smaller image")
        return self.full


def attempts(device: torch.device, batch: int, *, cpu: bool) -> Iterator[Attempt]:
    """Tries with ``batch`` images at a time, then with half as many each time that the GPU was too full.

    Parameters
    ----------
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
    attempt = Attempt(device, batch, [])
    yield attempt
    while attempt.full:
        torch.cuda.empty_cache()
        left, notes = attempt.batch // 2, attempt.notes
        if left:
            said = f"the GPU ran out of memory; this run was repeated with at most {left} of {batch} images at a time"
            attempt = Attempt(device, left, [said])
        elif cpu:
            said = "the GPU ran out of memory; this run was repeated on the CPU"
            attempt, cpu = Attempt(torch.device("cpu"), batch, [*notes, said]), False
        else:
            raise DeviceError("the GPU ran out of memory; choose device 'cpu', or close other programs on it")
        yield attempt

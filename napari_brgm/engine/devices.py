"""Devices: which one a run uses, and what it does when a GPU is full: fewer images at a time, and at last the CPU.

torch is loaded by the first question only: it takes seconds, and forms that name a device are shown before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from napari_brgm.errors import DeviceError
from napari_brgm.reason import lacks_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import torch

__all__ = ["Attempt", "attempts", "outward", "pick_device", "why_cpu"]


def pick_device(name: str = "auto") -> torch.device:
    """'auto' (CUDA if there is one, else the CPU), 'cpu', 'cuda' or 'cuda:N'.

    Raises
    ------
    DeviceError
        There is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"there is no device {name!r}; choose 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError("no CUDA device can be used on this machine; choose device 'cpu' or 'auto'")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise DeviceError(f"there is no device {name!r}; this machine has {torch.cuda.device_count()} CUDA devices")
    elif device.type != "cpu":
        raise DeviceError(f"device {name!r} is not supported; choose 'auto', 'cpu' or 'cuda'")
    return device


def why_cpu(name: str = "auto") -> str:
    """Why a run on this device will use the CPU, in a few words; '' if it will use a GPU.

    Examples
    --------
    >>> why_cpu("cpu")
    'the CPU was chosen'
    """
    if name == "cpu":
        return "the CPU was chosen"
    import torch

    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    return "no CUDA graphics card can be used (none there, or its driver is missing or too old)"


class _Outward(BaseException):
    """Carries what the caller's own function raised past all who would take it for an error of the work."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised


def outward(call: Any) -> Any:
    """``call``, or None, so that whatever it raises leaves the attempt as it is."""

    def called(*given: Any) -> Any:
        try:
            return call(*given)
        except BaseException as error:
            raise _Outward(error) from error

    return None if call is None else called


class Attempt:
    """One try at a run; entered with ``with``, it takes up the error of a full GPU, if the work itself raised it.

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
        import torch

        if isinstance(error, _Outward):
            raise error.raised from error.raised.__cause__
        self.full = isinstance(error, torch.cuda.OutOfMemoryError)
        if error is not None and not self.full and lacks_memory(error):
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
    import torch

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

"""Devices: which one a run uses, and what is said when it is not there."""

from __future__ import annotations

import torch

from napari_brgm.errors import DeviceError

__all__ = ["pick_device", "why_cpu"]


def pick_device(name: str = "auto") -> torch.device:
    """'auto' (CUDA if there is one, else the CPU), 'cpu', 'cuda' or 'cuda:N'.

    Raises
    ------
    DeviceError
        There is no such device.
    """
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
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    return "no CUDA graphics card can be used (none there, or its driver is missing or too old)"

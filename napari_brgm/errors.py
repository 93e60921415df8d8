"""What can go wrong, said in one sentence that tells what to do.

None of these derives from RuntimeError: napari's generator workers swallow a RuntimeError without a signal.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ArchiveError",
    "BackendError",
    "BrgmError",
    "Cancelled",
    "DeviceError",
    "InputError",
    "OutputError",
    "ScanError",
    "WeightsError",
]


class BrgmError(Exception):
    """Base of all errors of this package; ``str(error)`` is one sentence for the person at the screen."""


class InputError(BrgmError, ValueError):
    """An image, mask, corruption or setting that cannot be used.

    Attributes
    ----------
    number : int or None
        Of the slice of a job whose reason it is, where none of the job's slices can be restored; None: of all of them.
    """

    number: int | None = None


class ScanError(BrgmError):
    """A scan file that cannot be read, or whose content is not an image."""


class OutputError(BrgmError):
    """A result that cannot be written."""


class WeightsError(BrgmError):
    """Weights that are missing, damaged, or not what their name says."""


class ArchiveError(BrgmError):
    """A DICOM archive that cannot be reached, or that refuses what it is asked; no patient is named."""


class DeviceError(BrgmError):
    """A device that is not there or has too little memory."""


class BackendError(BrgmError):
    """A server that cannot be reached, was lost, or refuses a run, which can be done on this machine.

    Attributes
    ----------
    finished : dict of int to Restoration
        What had come back by then, by the number of the slice.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*said)
        self.finished: dict[int, Any] = {}


class Cancelled(BrgmError):
    """The person stopped the run.

    Attributes
    ----------
    finished : dict of int to Restoration
        What a job had restored by then, by the number of the slice.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*said)
        self.finished: dict[int, Any] = {}

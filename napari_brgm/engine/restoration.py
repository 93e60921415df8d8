"""Restoration: what a run gives back. Everything in the scan's own units, on the native or the finer grid."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.calibration import LEVELS, interval
from napari_brgm.errors import BrgmError, DeviceError, InputError, OutputError
from napari_brgm.reason import advice_of, lacks_memory, reason_of
from napari_brgm.samples import Samples, samples_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Restoration"]

_FORMAT = "napari-brgm restoration 2"  # samples of a slice with measured pixels: (S, N[, 3]) of the others
_FORMATS = (_FORMAT, "napari-brgm restoration 1")
_ARRAYS = ("estimate", "mean", "variance", "samples", "latents", "measured")


@dataclass(frozen=True, slots=True, eq=False)
class Restoration:
    """A restored slice with its posterior. Synthetic where it was not measured; not for diagnosis.

    Of ``restore_volume`` all arrays (.., H, W) are (.., K, H, W), and latents those of the restored slices, one by one.

    Attributes
    ----------
    estimate : (H, W) ndarray
        The image to show: the MAP image, or the posterior mean of variational inference.
    mean : (H, W) ndarray
        Mean of the samples, on which intervals are centred. Of results read back from files that hold neither it nor
        samples it is the estimate.
    variance : (H, W) float32 ndarray
        Posterior variance of each pixel, in units squared; 0 where the pixel was measured (in-painting). Where no
        samples were asked for it is nan: nothing is said of it.
    samples : (S, H, W) float32 ndarray
        Draws from the posterior; none (S = 0) where they are kept elsewhere, or were not read. Of a large slice with
        measured pixels `Samples`, which is like an array and makes images one at a time.
    latents : (num_ws, D) float32 ndarray
        w of the estimate.
    measured : (H, W) bool ndarray
        True where the estimate is the measured pixel, bit for bit.
    trace : list of dict
        Phase, iteration, loss and terms of each step.
    provenance : dict
        Prior and its hash, corruption, settings, seed, noise levels, geometry, device, versions, calibration, duration
        in seconds.
    widths : (4, H, W) float32 ndarray or None
        Half widths, in units of ``std``, of the calibrated intervals of ``calibration.LEVELS``; None: a Gaussian's.
    """

    estimate: npt.NDArray[Any]
    mean: npt.NDArray[Any]
    variance: npt.NDArray[np.float32]
    samples: npt.NDArray[np.float32]
    latents: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]
    trace: list[dict[str, Any]]
    provenance: dict[str, Any]
    widths: npt.NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.estimate.shape

    @property
    def std(self) -> npt.NDArray[np.float32]:
        """(H, W) posterior standard deviation, in the scan's units."""
        return np.sqrt(self.variance)

    def interval(self, level: float = 0.9) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Low and high (H, W) of the central credible interval of each pixel.

        That of a Gaussian of this mean and variance, or where ``widths`` are known a calibrated one.

        Raises
        ------
        InputError
            The level is not between 0 and 1, or no samples were drawn.
        """
        if not self.has_spread:
            raise InputError("no samples were drawn, so that there is no interval; restore with samples of 2 or more")
        return interval(self.mean, self.std, level, self.widths)

    @property
    def has_spread(self) -> bool:
        """Whether a variance was asked for."""
        return bool(self.provenance.get("samples", 1))

    def without_samples(self) -> Restoration:
        """The same, when its samples are kept elsewhere."""
        return replace(self, samples=self.samples[:0])

    def turned(self, turn: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Restoration:
        """The same with each image (..., H, W) turned, as from the way it is shown to the way it is stored."""
        drawn: Any = self.samples
        drawn = drawn.turned(turn) if isinstance(drawn, Samples) else turn(drawn)
        return replace(
            self, estimate=turn(self.estimate), mean=turn(self.mean), variance=turn(self.variance),
            samples=drawn, measured=turn(self.measured),
            widths=None if self.widths is None else turn(self.widths),
        )  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write everything to one file (safetensors, no code in it); an existing file is replaced only when complete.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        import torch  # here and below: a result is read and shown without it

        from napari_brgm.tensor_file import write_tensors

        path = Path(path)
        text = {"format": _FORMAT, "trace": json.dumps(self.trace), "provenance": json.dumps(self.provenance)}
        if self.estimate.dtype == np.longdouble and self.estimate.dtype.itemsize > 8:
            raise OutputError("a restoration of 128-bit floats cannot be saved; restore the image as float64")
        names = _ARRAYS if self.widths is None else (*_ARRAYS, "widths")
        held = {name: getattr(self, name) for name in names}
        if self.measured.any():
            drawn: Any = self.samples
            held["samples"] = drawn.values if isinstance(drawn, Samples) else drawn[:, ~self.measured]
        arrays = {name: torch.from_numpy(_writable(array)) for name, array in held.items()}
        try:
            write_tensors(path, arrays, text, private=True)
        except OSError as error:
            raise OutputError(
                f"cannot write {plain_text(path.name)} into {plain_text(path.parent)}: {reason_of(error)}; "
                f"{advice_of(error, 'choose a folder that can be written')}"
            ) from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> Restoration:
        """Read a file written by ``save``.

        Raises
        ------
        InputError
            The file is missing, damaged or of another kind.
        """
        from napari_brgm.tensor_file import read_tensors

        path = Path(path)
        try:
            tensors, text = read_tensors(path)
            if text.get("format") not in _FORMATS:
                raise InputError(f"{path.name} is not a restoration saved by napari-brgm")
            arrays = {name: tensors[name].numpy() for name in _ARRAYS}
            widths = tensors["widths"].numpy() if "widths" in tensors else None
            if text["format"] == _FORMAT and arrays["measured"].any():
                arrays["samples"] = samples_of(arrays["samples"], ~arrays["measured"], arrays["estimate"])
            trace, provenance = json.loads(text["trace"]), json.loads(text["provenance"])
            shape, drawn = arrays["estimate"].shape, arrays["samples"].shape
            fit = arrays["mean"].shape == arrays["variance"].shape == drawn[1:] == shape
            fit &= len(shape) in (2, 3) and arrays["measured"].shape in (shape, shape[:2])
            fit &= widths is None or widths.shape == (len(LEVELS), *shape)
            if not (fit and isinstance(trace, list) and isinstance(provenance, dict)):
                raise InputError(f"the parts of {plain_text(path.name)} do not fit together; save the result again")
            return cls(**arrays, trace=trace, provenance=provenance, widths=widths)
        except BrgmError:
            raise
        except Exception as error:
            if lacks_memory(error):
                raise DeviceError(f"there is not enough memory to read {plain_text(path.name)}") from error
            raise InputError(f"{plain_text(path.name)} cannot be read as a restoration: {reason_of(error)}") from error


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself where torch can take it as it is, else a copy."""
    plain = array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative
    return array if plain else np.array(array, order="C")

"""The brain of a whole head: which voxels of a T1 scan are brain, found by deepbet.

deepbet (Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural networks",
Computers in Biology and Medicine 179, 2024; MIT) is two networks on grids of 128^3 and 256^3 voxels, which come in its
wheel: ``pip install napari-brgm[strip]``. Nothing is fetched. Its files are TorchScript, which holds code beside its
tensors, so they are opened only if they are, byte for byte, those of the version that was looked at.

It was made for whole heads. A slab is continued by its outermost slices to the size of one, without which it was wrong
at the ends of slabs of a few centimetres; and what is painted as missing is filled from around it first, as an artefact
can look like the end of the brain.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.scan import Scan, nearest_axes

if TYPE_CHECKING:
    from napari_brgm.scan import Plane

__all__ = ["Brain", "find_brain", "why_no_strip"]

Flags = npt.NDArray[np.bool_]
_PACKAGE, _VERSION = "deepbet", "1.0.2"
_SHA256 = {
    "bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
    "model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
}
_INSTALL = "pip install napari-brgm[strip]"
_HEAD_MM = 180.0  # a scan that is thinner is continued to it
_HALF = 0.5  # probability from which a voxel is brain
_OF_A_BRAIN = ("a brain", "true where a pixel is brain")  # what its mask must hold


@dataclass(frozen=True, slots=True, eq=False)
class Brain:
    """Which voxels are brain, and who says so.

    Attributes
    ----------
    inside : (I, J, K) or (H, W) bool ndarray
        On the grid of a scan, or of a slice of it as displayed.
    found_by : str
        Such as 'deepbet 1.0.2'.

    Raises
    ------
    InputError
        ``inside`` holds anything but true and false (or 1 and 0).
    """

    inside: Flags
    found_by: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "inside", _flags(self.inside, *_OF_A_BRAIN))

    @classmethod
    def of(cls, given: Brain | npt.ArrayLike) -> Brain:
        """A brain as it is, or that of a person who says which pixels are brain; InputError as of any."""
        return given if isinstance(given, Brain) else cls(_flags(given, *_OF_A_BRAIN), "the person")

    def slice(self, scan: Scan, plane: Plane, index: int) -> Brain:
        """Of one slice of the scan whose brain this is, as ``scan.slice`` shows it."""
        return Brain(Scan(self.inside, scan.affine).slice(plane, index).image > 0, self.found_by)


def why_no_strip() -> str:
    """Why brains cannot be found here, as a sentence that says what to do; '' where they can."""
    if find_spec(_PACKAGE) is None:
        return f"finding the brain of a whole head needs {_PACKAGE}; {_INSTALL}"
    return ""


def find_brain(scan: Scan, painted: npt.ArrayLike | None = None) -> Brain:
    """Find the brain of a T1-weighted head; some seconds of one core, 1.5 GB of memory.

    Parameters
    ----------
    scan : Scan
        3-D: a head, or a slab of one.
    painted : (I, J, K) array-like of bool, optional
        Voxels that say nothing: an artefact. They are filled with the nearest others before, so that the brain goes on
        in them as it does around them.

    Returns
    -------
    Brain
        (I, J, K), in one piece and without holes.

    Raises
    ------
    InputError
        The scan is 4-D or of one value, no brain was found in it, or what is painted is no mask of it.
    WeightsError
        deepbet is not there, or not the version that was looked at.
    """
    network = _network()
    array = np.nan_to_num(_volume(scan).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if painted is not None:
        array = _filled(array, _flags(painted, "what is painted", "true where a voxel is"))
    if array.min() == array.max():
        raise InputError("all voxels of the scan have the same value; there is no brain to be found")
    try:
        found = _found(network, array, scan.affine)
    except (AssertionError, ValueError) as error:  # its own words where its mask is empty
        raise InputError("no brain was found in the scan; --strip is for T1-weighted heads") from error
    return Brain(found, f"{_PACKAGE} {_VERSION}")


def _flags(given: npt.ArrayLike, what: str, meaning: str) -> Flags:
    """Bool ndarray of true and false, or of 1 and 0; InputError otherwise."""
    try:
        values = np.asarray(given)
        flags = values.astype(bool) if values.dtype.kind in "buif" else None
    except (TypeError, ValueError):  # rows of several lengths
        flags = None
    if flags is None or not np.array_equal(flags, values):
        raise InputError(f"{what} must hold only true and false (or 1 and 0), {meaning}")
    return flags


def _volume(scan: Scan) -> npt.NDArray[Any]:
    if scan.array.ndim != 3:
        raise InputError(f"a brain is found in one volume, and this scan has {scan.volumes}; choose one")
    return scan.array


def _filled(array: npt.NDArray[np.float32], painted: Flags) -> npt.NDArray[np.float32]:
    """The nearest voxel that is not painted, where one is."""
    from scipy.ndimage import distance_transform_edt

    if painted.shape != array.shape:
        raise InputError(f"what is painted has the shape {painted.shape} but the scan {array.shape}; paint it on that")
    if not painted.any() or painted.all():
        return array
    nearest = distance_transform_edt(painted, return_distances=False, return_indices=True)
    return np.asarray(array[tuple(nearest)])


def _found(network: Any, array: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> Flags:
    """Mask on the scan's own grid; the network's axes run to the right, to the front and to the head."""
    axes, signs = nearest_axes(affine)
    backwards = tuple(axis for axis, sign in enumerate(signs) if sign < 0)
    turned = np.flip(array.transpose(axes), backwards)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[list(axes)]
    lacking = np.maximum(np.ceil(_HEAD_MM / spacing).astype(int) - turned.shape, 0)
    margins = [(n // 2, n - n // 2) for n in lacking.tolist()]
    whole = np.ascontiguousarray(np.pad(turned, margins, mode="edge"))
    mask = network.postprocess(np.array(network.run_model(whole) > _HALF)).astype(bool)
    own = tuple(slice(before, before + n) for (before, _), n in zip(margins, turned.shape, strict=True))
    found: Flags = np.ascontiguousarray(np.flip(mask[own], backwards).transpose(np.argsort(axes)))
    if not found.any():
        raise ValueError("empty")
    return found


def _network() -> Any:
    """The BrainExtraction of deepbet, on the CPU."""
    if reason := why_no_strip():
        raise WeightsError(reason)
    import deepbet.utils

    for name, expected in _SHA256.items():
        path = Path(deepbet.utils.DATA_PATH) / "models" / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise WeightsError(
                f"{name} is not the file that version {_VERSION} of {_PACKAGE} brings (here is "
                f"{metadata.version(_PACKAGE)}); {_INSTALL}"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.load announces its end
        return deepbet.BrainExtraction(no_gpu=True)

"""Calibration: by how much the intervals of a prior must be widened or narrowed, as measured on held-out subjects.

A prior's posterior is too wide or too narrow by a scale of its own, whatever the method and the hole; what is left
depends on the pixel, and is known for some methods and tasks only:

    scale = q_90 / z_90                                of all hidden tissue, in-painting and super-resolution apart
    s     = |truth - mean| / (scale std)               of hidden pixels of validation slices
    q_p   = conformal quantile of s at level p         in each group of pixels
    interval of level p = mean +- q_p scale std,       factor = q_p / z_p, z_p the Gaussian's quantile

A share p of hidden pixels of such slices then lies inside, whatever their distribution, for each group by itself.
Groups are what is known when a slice is restored, never the truth: tissue or air by the posterior mean; in-painting by
the depth of the hole, and apart from it where measured pixels stand by themselves; super-resolution by the size of the
observed pixels; slices restored together by the depth of the hole and by how far along the stack the same pixel was
measured; thin slices of thick ones by the thickness. Between groups factors are interpolated, beyond them held. Not the
depth of the pixel: pixels beside the rim of a small hole and of half an image share nothing but that, and factors by it
held 85 % of small holes in X-rays where these hold 90.

The promise is about a pixel drawn at random from slices like those of the validation set. Pixels of one slice share
their fate: on a single slice coverage may well be 80 or 98 %; the subject is what is independent.

Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), Sec. 4.5 (Mondrian groups);
Papadopoulos et al., "Inductive confidence machines for regression" (ECML 2002; split conformal, normalised scores);
Romano, Patterson and Candes (NeurIPS 2019); Angelopoulos and Bates, arXiv 2107.07511, Sec. 2.3.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from napari_brgm.errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = [
    "DEPTHS", "LEVELS", "TISSUE", "Calibration", "Curve", "conformal_factors", "half_width", "interval", "pack_widths",
    "unpack_widths",
]  # fmt: skip

LEVELS = (0.5, 0.8, 0.9, 0.95)
TISSUE = 8.0  # grey levels of the posterior mean; what is darker is air
DEPTHS = (0.012, 0.024, 0.047, 0.094, 0.19, 0.38)  # bounds of groups, in sides of the frame: 1.5, 3, 6 .. 48 px at 128
_Z = tuple(float(ndtri(0.5 + level / 2)) for level in LEVELS)
_LIMIT = 100.0  # no factor is larger
_PACKED = 1 << 20  # pixels whose widths are packed at a time
_TASKS, _MATTER = ("mask", "scattered", "downsample", "thick"), ("tissue", "air")
_HOLE = re.compile(r"hole (\d+(?:\.\d+)?) mm")  # of a stack: from the nearest slice in which the pixel was measured


def conformal_factors(scores: npt.NDArray[np.floating[Any]]) -> tuple[float, ...]:
    """Factor of each of LEVELS from scores (N,): the ceil((N + 1) p)-th smallest score over the Gaussian's quantile.

    One more pixel, exchangeable with these, has a score at most so large with probability p or more. Factors lie
    between 0.01 and 100. N must be 20 at least, or no score is large enough for the highest level.
    """
    ordered = np.sort(scores)
    places = [math.ceil((len(scores) + 1) * level - 1e-9) - 1 for level in LEVELS]
    return tuple(float(np.clip(ordered[i] / z, 1 / _LIMIT, _LIMIT)) for i, z in zip(places, _Z, strict=True))


@dataclass(frozen=True, slots=True)
class Curve:
    """Factors along one coordinate of the groups.

    Attributes
    ----------
    at : tuple of float
        Depths in sides of the frame, or sizes of observed pixels in frame pixels; above 0, ascending.
    factors : tuple of tuple of float
        For each of them one of each of LEVELS.
    """

    at: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]

    def widths(self, where: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Half widths (4, ...) of the intervals of LEVELS in standard deviations, at coordinates (...) above 0.

        Linear in the logarithm of the coordinate.
        """
        known, wanted = np.log(self.at), np.log(where)
        columns = np.array(self.factors).T  # (4, nodes)
        return np.stack([z * np.interp(wanted, known, column) for z, column in zip(_Z, columns, strict=True)])


@dataclass(frozen=True, slots=True)
class Calibration:
    """Conformal factors of a prior, and what they were measured on.

    Attributes
    ----------
    source : str
        Name of the validation set.
    subjects, slices : int
        Of it, that the factors were computed on.
    preset : str
        Name of the settings they hold for.
    curves : mapping
        (method, task, 'tissue' or 'air') -> Curve. Tasks: 'mask', 'scattered', 'downsample'; of slices that were
        restored together 'hole 2 mm' and other distances, and 'thick', along mm.
    scales : mapping
        'mask', 'scattered' or 'downsample' -> factor on the standard deviation of tissue, for all methods; 1 where
        it is missing. 'downsample' also serves other linear corruptions that hide no pixel: blur, motion, noise.
    """

    source: str
    subjects: int
    slices: int
    preset: str
    curves: Mapping[tuple[str, str, str], Curve]
    scales: Mapping[str, float] = field(default_factory=dict)

    def knows(self, method: str, task: str) -> bool:
        """Whether there are factors for this method and kind of task."""
        return (method, task, "tissue") in self.curves

    def widths(
        self, method: str, task: str, at: npt.NDArray[np.floating[Any]], mean: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float64]:
        """Half widths (4, H, W) of the intervals of LEVELS, in standard deviations.

        Parameters
        ----------
        method, task : str
            Of those it knows.
        at : (H, W) ndarray
            Coordinate of the groups.
        mean : (H, W) ndarray
            Posterior mean, grey levels.
        """
        tissue = self.curves[method, task, "tissue"]
        air = self.curves.get((method, task, "air"), tissue)
        return np.where(mean > TISSUE, tissue.widths(at), air.widths(at))

    def stack_widths(
        self, method: str, at: npt.NDArray[np.floating[Any]], distance: npt.NDArray[np.floating[Any]],
        mean: npt.NDArray[np.floating[Any]],
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """As ``widths``, of holes in slices that were restored together.

        ``distance`` (n,), mm above 0: to the nearest slice in which the same pixel was measured. Linear in its
        logarithm.
        """
        tasks = self.hole_tasks(method)
        place = np.interp(np.log(distance), np.log([mm for mm, _ in tasks]), np.arange(len(tasks)))
        found = np.zeros((len(LEVELS), *np.shape(at)))
        for i, (_, task) in enumerate(tasks):
            found += np.clip(1 - np.abs(place - i), 0, 1) * self.widths(method, task, at, mean)
        return found

    def hole_tasks(self, method: str) -> list[tuple[float, str]]:
        """Distances, mm ascending, and names of the tasks of holes in slices that were restored together."""
        named = {task: _HOLE.fullmatch(task) for key, task, _ in self.curves if key == method}
        return sorted((float(found[1]), task) for task, found in named.items() if found is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to four digits."""
        methods: dict[str, Any] = {}
        for (method, task, matter), curve in sorted(self.curves.items()):
            methods.setdefault(method, {}).setdefault(task, {})[matter] = {
                "at": [float(f"{at:.4g}") for at in curve.at],
                "factors": [[float(f"{value:.4g}") for value in row] for row in curve.factors],
            }
        about = {"source": self.source, "subjects": self.subjects, "slices": self.slices, "preset": self.preset}
        scales = {task: float(f"{scale:.4g}") for task, scale in sorted(self.scales.items())}
        return about | {"levels": list(LEVELS), "scales": scales, "methods": methods}

    @classmethod
    def from_dict(cls, record: Any) -> Calibration:
        """Read what ``to_dict`` gave.

        Raises
        ------
        WeightsError
            It is malformed.
        """
        try:
            return cls._checked(record)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the calibration of a prior is malformed: {error}") from error

    @classmethod
    def _checked(cls, record: dict[str, Any]) -> Calibration:
        if not isinstance(record, dict) or tuple(record["levels"]) != LEVELS:
            raise ValueError(f"its levels are not {', '.join(map(str, LEVELS))}")
        counts = record["subjects"], record["slices"]
        if any(type(count) is not int or count < 1 for count in counts):
            raise ValueError("'subjects' and 'slices' are not counts")
        texts = record["source"], record["preset"]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("'source' and 'preset' are not text")
        curves = {
            (method, task, matter): _curve(curve)
            for method, tasks in record["methods"].items()
            for task, matters in tasks.items()
            for matter, curve in matters.items()
        }
        for method, task, matter in curves:
            known = task in _TASKS or ((hole := _HOLE.fullmatch(task)) is not None and float(hole[1]) > 0)
            if not known or matter not in _MATTER or (method, task, "tissue") not in curves:
                raise ValueError(f"the group {task!r}, {matter!r} is not known, or has no tissue beside it")
        scales = {task: float(scale) for task, scale in record.get("scales", {}).items()}
        if not all(task in _TASKS and 1 / _LIMIT <= scale <= _LIMIT for task, scale in scales.items()):
            raise ValueError(f"a scale is of no known task, or not between {1 / _LIMIT} and {_LIMIT:.0f}")
        return cls(texts[0], *counts, texts[1], curves, scales)


def _curve(record: dict[str, Any]) -> Curve:
    at = tuple(float(value) for value in record["at"])
    factors = tuple(tuple(float(value) for value in row) for row in record["factors"])
    if not at or len(at) != len(factors) or any(len(row) != len(LEVELS) for row in factors):
        raise ValueError("a group needs a list of coordinates, and for each one factor a level")
    if not (all(map(math.isfinite, at)) and at[0] > 0 and all(a < b for a, b in pairwise(at))):
        raise ValueError("coordinates are not above 0 and ascending")
    for row in factors:
        widths = [z * factor for z, factor in zip(_Z, row, strict=True)]
        if not all(1 / _LIMIT <= factor <= _LIMIT for factor in row):
            raise ValueError(f"factors are not between {1 / _LIMIT} and {_LIMIT:.0f}")
        if any(lower > higher * 1.001 for lower, higher in pairwise(widths)):  # 1.001: they are rounded
            raise ValueError("an interval is wider than that of a higher level")
    return Curve(at, factors)


def half_width(level: float, widths: npt.NDArray[np.floating[Any]] | None = None) -> Any:
    """Half the width of the interval of any level, in standard deviations: the Gaussian's, or from those of LEVELS.

    Parameters
    ----------
    level : float
        Between 0 and 1.
    widths : (4, ...) ndarray or None
        Half widths of LEVELS. Between them it is linear in the Gaussian's quantile, beyond them proportional to it.
    """
    z = float(ndtri(0.5 + level / 2))
    if widths is None:
        return z
    if z <= _Z[0]:
        return widths[0] * (z / _Z[0])
    if z >= _Z[-1]:
        return widths[-1] * (z / _Z[-1])
    i = int(np.searchsorted(_Z, z, side="right")) - 1
    share = (z - _Z[i]) / (_Z[i + 1] - _Z[i])
    return (1 - share) * widths[i] + share * widths[i + 1]


def interval(
    mean: npt.NDArray[Any], std: npt.NDArray[np.floating[Any]], level: float,
    widths: npt.NDArray[np.floating[Any]] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:  # fmt: skip
    """Low and high (...) of the central credible interval of each pixel: the one that all who show intervals show.

    Parameters
    ----------
    mean, std : (...) ndarray
        Posterior mean and standard deviation, in the scan's units.
    level : float
        Between 0 and 1.
    widths : (4, ...) ndarray or None
        Calibrated half widths of LEVELS in units of ``std``; None: a Gaussian's.

    Raises
    ------
    InputError
        The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, for example 0.9; got {level}")
    half = np.asarray(half_width(level, widths) * std, np.float32)
    middle = np.asarray(mean, np.float32)
    return middle - half, middle + half


def pack_widths(widths: npt.NDArray[np.float32]) -> str:
    """Widths (4, H, W) as text for a record: few are different, so that each pixel needs only the number of its own."""
    flat = widths.reshape(len(widths), -1)  # (4, H W)
    numbers: dict[bytes, int] = {}
    index = np.empty(flat.shape[1], "<u4")
    for first in range(0, len(index), _PACKED):
        part = flat[:, first : first + _PACKED].astype("<f4", copy=False)
        heads = np.flatnonzero(np.append(True, (part[:, 1:] != part[:, :-1]).any(axis=0)))  # of runs of one kind
        kinds, which = np.unique(part[:, heads].T, axis=0, return_inverse=True)
        of_all = np.array([numbers.setdefault(kind.tobytes(), len(numbers)) for kind in kinds], "<u4")
        lengths = np.diff(heads, append=part.shape[1])
        index[first : first + _PACKED] = np.repeat(of_all[which.reshape(-1)], lengths)
    index = index if len(numbers) >= 1 << 16 else index.astype("<u2")
    packer = zlib.compressobj(9)
    head = np.array([len(numbers), index.itemsize], dtype="<u4").tobytes()
    packed = packer.compress(head + b"".join(numbers)) + packer.compress(index.data) + packer.flush()
    return base64.b64encode(packed).decode("ascii")


def unpack_widths(text: object, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
    """Widths (4, H, W) of ``pack_widths``; None where the text is none of that, or not for images of this shape."""
    pixels, levels = math.prod(shape), len(LEVELS)
    most = 8 + pixels * (4 * levels + 4)
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(str(text), validate=True), most + 1)
        count, size = np.frombuffer(data[:8], "<u4").tolist()
        kinds = np.frombuffer(data, "<f4", count * levels, 8).reshape(count, levels)
        which = np.frombuffer(data, f"<u{size}", pixels, 8 + kinds.nbytes)
        found = kinds[which].T.reshape(levels, *shape).astype(np.float32)
    except (ValueError, IndexError, TypeError, zlib.error, binascii.Error):
        return None
    whole = unpacker.eof and len(data) == 8 + kinds.nbytes + which.nbytes
    return found if whole and np.isfinite(found).all() and (found > 0).all() else None

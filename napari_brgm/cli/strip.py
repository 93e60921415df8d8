"""``--strip``: the brain of a whole head, slice by slice, for a prior that knows brains without skull."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError
from napari_brgm.scan import Scan
from napari_brgm.scans.strip import find_brain, why_no_strip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from napari_brgm.cli.source import Source
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.scans.strip import Brain

__all__ = ["brain_of", "check_strip"]

_NOTHING: Mapping[int, npt.NDArray[np.bool_]] = {}


def check_strip(wanted: bool) -> None:
    """Refuse to strip where it cannot be done, before anything is read.

    Raises
    ------
    InputError
        The extra is not installed.
    """
    if wanted and (reason := why_no_strip()):
        raise InputError(f"--strip: {reason}")


def brain_of(
    source: Source, prior: PriorInfo, missing: Mapping[int, npt.NDArray[np.bool_]] = _NOTHING
) -> Callable[[int], Brain]:
    """Find the brain of a source, and say on stderr how large it is; what is missing of its slices says nothing.

    Returns
    -------
    callable
        Gives the brain (H, W) of a slice, by its index.

    Raises
    ------
    InputError, WeightsError
        The source is a picture, the prior does not know brains, or none was found.
    """
    from napari_brgm.engine.whole_head import knows_brains

    if not isinstance(source, ScanSource):
        raise InputError("--strip finds the brain in the volume of a scan, and a picture is none; leave it out")
    if not knows_brains(prior.modality):
        raise InputError(
            f"--strip is for priors of brains, and {prior.name} knows {prior.modality or 'no anatomy'}; leave it out"
        )
    scan, plane = source.scan, source.plane
    nothing = Scan(np.zeros(scan.shape, np.float32), scan.affine)
    painted = nothing.with_slices((scan.slice(plane, i), flags, None) for i, flags in missing.items())
    brain = find_brain(scan, painted.array > 0)
    millilitres = float(brain.inside.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000)
    say_note(f"the brain has {millilitres:.0f} ml, as {brain.found_by} found it; the prior sees nothing else")
    return partial(brain.slice, scan, plane)

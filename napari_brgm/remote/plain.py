"""Jobs, steps and results as plain values (numbers, text, lists, tables, arrays), and back.

The prior goes by its name and hash, corruptions by their names and numbers. Neighbours of a stack that are too far to
help stay where they are: their places go, and their pixels do not.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import Downsample, Identity, Jpeg, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.job import Job, Later, ObservedSlice, Stack
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.run_stack import why_alone
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.engine.windows import helping_mm
from napari_brgm.errors import InputError
from napari_brgm.inference import Step
from napari_brgm.samples import Samples
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["job_of", "plain_job", "plain_restoration", "plain_step", "restoration_of", "step_of"]

PlainTable = dict[str, Any]
_OF_SECOND = ("image", "sigma", "gain", "offset")
_ARRAYS = ("estimate", "mean", "variance", "latents", "measured", "widths")


def plain_job(job: Job, prior: str, only: Collection[int] | None = None) -> PlainTable:
    """A job, its prior by the name under which it is loaded, and which of its restorations are wanted (None: all).

    Raises
    ------
    InputError
        It has a corruption that has no plain form.
    """
    return {
        "prior": prior, "sha256": job.prior.info.weights_sha256, "method": job.method, "samples": int(job.samples),
        "seed": int(job.seed), "device": job.device, "settings": None if job.settings is None else asdict(job.settings),
        "alignment": None if job.alignment is None else job.alignment.as_dict(),
        "only": None if only is None else sorted(only),
        "slices": [
            _plain_slice(one if job.stack is not None or only is None or i in only else replace(one, image=None))
            for i, one in enumerate(job.slices)
        ],
        "stack": None if job.stack is None else _plain_stack(job, job.stack),
    }  # fmt: skip


def job_of(found: PlainTable, prior: Prior) -> Job:
    """The job of what ``plain_job`` gave."""
    settings, alignment, stack = found["settings"], found["alignment"], found["stack"]
    return Job(
        tuple(_slice_of(one) for one in found["slices"]), prior,
        None if settings is None else InferenceSettings(**settings), found["method"], found["samples"], found["seed"],
        found["device"], None if alignment is None else Alignment.from_dict(alignment),
        None if stack is None else _stack_of(stack),
    )  # fmt: skip


def plain_step(step: Step) -> PlainTable:
    """A step without its preview."""
    names = ("phase", "iteration", "total", "loss", "terms", "slice", "slices", "together", "done")
    return {name: getattr(step, name) for name in names}


def step_of(found: PlainTable, preview: npt.NDArray[np.float32] | None) -> Step:
    """The step of what ``plain_step`` gave."""
    return Step(**found, preview=preview)


def plain_restoration(result: Restoration) -> PlainTable:
    """A result; of samples that are kept where they differ, those."""
    drawn: Any = result.samples
    lazy = isinstance(drawn, Samples)
    samples = {name: getattr(drawn, name) for name in ("values", "free", "image")} if lazy else np.asarray(drawn)
    arrays = {name: getattr(result, name) for name in _ARRAYS}
    return arrays | {"samples": samples, "trace": result.trace, "provenance": result.provenance}


def restoration_of(found: PlainTable) -> Restoration:
    """The result of what ``plain_restoration`` gave."""
    samples: Any = found["samples"]
    return Restoration(**found | {"samples": Samples(**samples) if isinstance(samples, dict) else samples})


def _plain_slice(one: ObservedSlice) -> PlainTable:
    image = None if one.image is None else np.asarray(one.image)
    try:
        happened = _plain_corruption(one.corruption())
    except InputError as error:  # costs its own slice only
        happened = {"name": "refused", "reason": str(error)}
    second = None if one.second is None else {name: getattr(one.second, name) for name in _OF_SECOND}
    return {
        "image": image, "corruption": happened, "spacing": one.spacing, "noise_sigma": one.noise_sigma,
        "second": second,
    }  # fmt: skip


def _slice_of(found: PlainTable) -> ObservedSlice:
    return ObservedSlice(
        found["image"], partial(_corruption_of, found["corruption"]), found["spacing"], found["noise_sigma"],
        None if found["second"] is None else SecondScan(**found["second"]),
    )  # fmt: skip


def _plain_corruption(f: Corruption) -> PlainTable:
    match f:
        case Jpeg():
            return {"name": "jpeg", "quality": f.quality}
        case Identity():
            return {"name": "identity"}
        case Mask():
            return {"name": "mask", "missing": f.missing.numpy()}
        case Downsample():
            factor = [str(one) for one in (f.through, *f.factor)]
            lengths = {name: value for name, value in f.describe().items() if name in ("fwhm", "width")}
            return {"name": "downsample", "factor": factor, "kernel": f.kernel, "lengths": lengths}
    raise InputError(f"{type(f).__name__} cannot be sent to another machine; restore it on this one")


def _corruption_of(found: PlainTable) -> Corruption:
    match found["name"]:
        case "jpeg":
            return Jpeg(found["quality"])
        case "identity":
            return Identity()
        case "mask":
            return Mask(found["missing"])
        case "downsample":
            through, *plane = (Fraction(one) for one in found["factor"])
            factor = plane if through == 1 else [through, *plane]
            return Downsample(factor, found["kernel"], **found["lengths"])
    raise InputError(found["reason"])


def _plain_stack(job: Job, stack: Stack) -> PlainTable:
    own = np.asarray(stack.thin or stack.places)
    reach, through = -1.0, job.prior.parts.through
    if through is not None and not why_alone(job, job.settings or preset(job.prior.info.preset)):
        reach = helping_mm(stack, through.reach)
    near = [(at, np.abs(own - at).min() <= reach, image) for at, image in stack.neighbours]
    return {
        "places": list(stack.places), "thin": list(stack.thin), "profile": stack.profile,
        "neighbours": [(at, np.asarray(image) if helps else None) for at, helps, image in near],
    }  # fmt: skip


def _stack_of(found: PlainTable) -> Stack:
    neighbours = tuple((at, Later(_not_sent) if image is None else image) for at, image in found["neighbours"])
    return Stack(tuple(found["places"]), neighbours, tuple(found["thin"]), found["profile"])


def _not_sent() -> npt.NDArray[Any]:
    raise InputError("a slice that is too far to help was not sent; restore on this machine")

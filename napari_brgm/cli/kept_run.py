"""Running a job whose restorations are kept: what is not there yet, part by part, beside others who do the same."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_brgm.cli.kept import KeptSlices, Unfinished, key_of
from napari_brgm.engine.need import TooLarge
from napari_brgm.engine.run import parts_of
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.cli.regions import RegionTable
    from napari_brgm.cli.source import Source
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.cli.where import Engine
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Step

__all__ = ["kept_run", "key_of_job"]


def key_of_job(
    job: Job, what: Treatment, source: Source, inputs: Sequence[dict[str, str]], regions: RegionTable | None = None,
    address: str = "",
) -> str:  # fmt: skip
    """Digest of all that decides the results of a job, but for the clock and the kind of processor.

    ``inputs``: 'sha256' of each file that was read. ``address``: of a scheduler whose workers run it.
    """
    import numpy as np
    import torch

    from napari_brgm.engine.devices import pick_device
    from napari_brgm.scans.record import version
    from napari_brgm.settings import preset

    missing = hashlib.sha256()
    for flags in what.missing.values():
        missing.update(np.packbits(flags).tobytes())
    settings = job.settings or preset(job.prior.info.preset)
    return key_of(
        inputs=[one["sha256"] for one in inputs], slices=list(what.corruptions), missing=missing.hexdigest(),
        source=source.record, stem=source.stem, task=[what.name, what.done, what.notice], factor=list(what.factor),
        noise=what.noise_sigma, trial=what.trial, brain=what.brain is not None, alone=what.alone,
        regions=None if regions is None else regions.digest,
        prior=job.prior.info.weights_sha256, settings=settings.as_dict(), method=job.method, samples=job.samples,
        seed=job.seed, device=address or pick_device(job.device).type,
        versions=[version(), torch.__version__, np.__version__], threads=torch.get_num_threads(),
    )  # fmt: skip


def kept_run(
    job: Job, kept: KeptSlices, tell: Callable[[Step], object], finish: Callable[[int, Restoration], Restoration],
    engine: Engine,
) -> list[Restoration | InputError]:  # fmt: skip
    """Run a job as ``engine.run.run`` does, but for what is kept; results come without their samples, from the disk.

    Parameters
    ----------
    job : Job
    kept : KeptSlices
    tell : callable
        Gets each Step, whose ``done`` counts what was there.
    finish : callable
        Makes of a number and its restoration what is kept of it.
    engine : callable
        Runs it.

    Raises
    ------
    Unfinished
        Other processes are at work on the rest.
    InputError
        As ``run``: nothing could be restored, or there is not enough memory.
    OutputError
        A slice cannot be kept.
    """
    for part in parts_of(job):
        if kept.holds(part):
            continue
        with kept.claimed(part[0]) as mine:
            if mine and not kept.holds(part):
                _made(job, part, kept, tell, finish, engine)
    numbers = range(job.count)
    if not kept.holds(numbers):
        raise Unfinished(
            "other processes are at work on what is left of this; they will write its results. Give the command again "
            "if they were ended"
        )
    results = [kept.load(number) for number in numbers]
    refused = [result for result in results if isinstance(result, InputError)]
    if len(refused) == len(results):
        kept.remove()
        refused[0].number = 0
        raise refused[0]
    return results


def _made(
    job: Job, part: Sequence[int], kept: KeptSlices, tell: Callable[[Step], object],
    finish: Callable[[int, Restoration], Restoration], engine: Engine,
) -> None:  # fmt: skip
    before = 0
    with suppress(OSError):
        before = kept.count()

    def told(step: Step) -> None:
        tell(replace(step, done=min((before + step.done * len(part)) / job.count, 1.0)))

    def keep(number: int, result: Restoration) -> Restoration:
        kept.save(number, finish(number, result))
        return result.without_samples()

    try:
        results = engine(job, told, keep, part)
    except TooLarge:
        raise
    except InputError as error:
        results = [error] * len(part)
    for number, result in zip(part, results, strict=True):
        if isinstance(result, InputError):
            kept.refuse(number, str(result))

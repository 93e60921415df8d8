"""What a run does in its thread: load the prior, find the brain, restore here or on a server, put heads together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_brgm.errors import BackendError, Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.engine.head import Head
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.plugin.restore.preview import Part
    from napari_brgm.scans.strip import Brain

__all__ = ["WAITING", "RunOrder"]

WAITING = "waiting"  # phase of steps before a server has begun (remote/run.py, which loads torch)


@dataclass(frozen=True, slots=True, eq=False)
class RunOrder:
    """A run, with the choices as they were when it was asked for.

    Attributes
    ----------
    job : callable
        Gives it; loads the prior.
    parts : list of Part
    find : callable or None
        Gives the brain of each part, where heads are stripped.
    prior : str
        Name in the registry.
    address : str
        Of a scheduler whose worker restores; '' for this machine.
    done : dict of int to Restoration
        What has been restored already, by the number of the part.
    """

    job: Callable[[], Job]
    parts: Sequence[Part]
    find: Callable[[], Sequence[Brain]] | None
    prior: str
    address: str = ""
    done: dict[int, Restoration] = field(default_factory=dict)

    def restored(self, tell: Callable[[Step], None]) -> list[Restoration | InputError]:
        """Do it, in a thread.

        Raises
        ------
        BrgmError
            As ``engine.run.run``, or ``remote.run.run_there``; what ``finished`` holds is in its head.
        """
        job, heads = self._stripped(self.job())

        def told(step: Step) -> None:
            head = heads[step.slice]
            if head is not None and step.preview is not None:
                step = replace(step, preview=head.shown(step.preview))
            tell(step)

        try:
            results = self._run(job, told)
        except (Cancelled, BackendError) as stop:
            stop.finished = self.done | {i: _in(heads[i], found) for i, found in stop.finished.items()}
            raise
        return [_in(head, results[i]) if i in results else self.done[i] for i, head in enumerate(heads)]

    def _run(self, job: Job, tell: Callable[[Step], None]) -> dict[int, Restoration | InputError]:
        """Restorations by their numbers, of what is not done yet."""
        from napari_brgm.engine import run as engine

        if self.address:
            from napari_brgm.remote.run import run_there

            return dict(enumerate(run_there(job, self.prior, self.address, tell)))
        if not self.done:
            return dict(enumerate(engine.run(job, tell)))
        left = sorted({i for part in engine.parts_of(job) if not set(part) <= self.done.keys() for i in part})
        return dict(zip(left, engine.run(job, tell, only=left), strict=True)) if left else {}

    def _stripped(self, job: Job) -> tuple[Job, Sequence[Head | None]]:
        """The job of slices of which the prior sees the brain only, and their heads; as it is without ``find``."""
        if self.find is None:
            return job, [None] * len(self.parts)
        from napari_brgm.engine.head import Head

        found = zip(self.parts, self.find(), strict=True)
        heads = [Head(part.shown.image, brain, part.missing) for part, brain in found]
        slices = tuple(head.observed(one) for head, one in zip(heads, job.slices, strict=True))
        return replace(job, slices=slices), heads


def _in(head: Head | None, result: Restoration | InputError) -> Restoration | InputError:
    return result if head is None or isinstance(result, InputError) else head.beside(result)

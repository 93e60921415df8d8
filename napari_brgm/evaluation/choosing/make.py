"""Cases made here, so that people can be asked today: held-out slices restored by methods of the grid that are cheap.

Of ours there are two: the estimate, and one posterior sample. A case that is there already stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.errors import InputError
from napari_brgm.evaluation.choosing.cases import write_case
from napari_brgm.evaluation.grid.catalogue import method_of
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.evaluation.tasks import grid_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.method import RestoringMethod
    from napari_brgm.evaluation.tasks import Task

__all__ = ["CHEAP", "make_cases"]

CHEAP = ("biharmonic", "bicubic", "linear", "ours")
_SAMPLE = "sample"


def make_cases(
    folder: Path, setting: Setting, tasks: Sequence[str], count: int, tell: Callable[[int, int, str], None],
    methods: Sequence[str] = CHEAP,
) -> None:  # fmt: skip
    """Write ``count`` cases of evenly spaced held-out slices, tasks in turn.

    Parameters
    ----------
    folder : Path
        Made if missing.
    setting : Setting
        Of the grid: the set, our prior, the seed.
    tasks : sequence of str
        Names of ``grid_tasks``.
    count : int
    tell : callable
        Gets (done, in all, what comes next).
    methods : sequence of str
        Names of ``grid.catalogue.METHODS``; each does the tasks that it can.

    Raises
    ------
    InputError
        A task or a method has no such name, or there are not so many slices.
    ScanError
        An archive is missing or damaged.
    OutputError
        A case cannot be written.
    """
    known = {task.name: task for task in grid_tasks(setting.held.framing.resolution)}
    wrong = [name for name in tasks if name not in known]
    if wrong or not tasks:
        raise InputError(f"tasks must be some of {', '.join(known)}, got {', '.join(wrong) or 'none'}")
    chosen = [method_of(name, setting) for name in methods]
    slices = setting.held.read(setting.data, "validation")
    for number, index in enumerate(evenly_spaced(len(slices), count)):
        name, task = f"case-{index:05d}", known[tasks[number % len(tasks)]]
        tell(number, count, f"{task.title} of slice {index}")
        if (folder / f"{name}.npz").is_file():
            continue
        truth = grey_images(slices, [index])[0]
        observed = task.observe(truth[None])[0]
        found = _restored(observed, task, [method for method in chosen if method.solves(task)], setting.seed)
        subject = str(int(slices.subjects[index]))
        write_case(folder, name, truth, observed, found, hole=task.missing, task=task.name, subject=subject)
    tell(count, count, "cases are there")


def _restored(
    observed: npt.NDArray[np.float32], task: Task, methods: Sequence[RestoringMethod], seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    found = {}
    for method in methods:
        method.prepare()
        result = method.restore(observed, task, seed)
        found[method.name] = result.estimate
        if _SAMPLE in result.others:
            found[f"{method.name}-{_SAMPLE}"] = result.others[_SAMPLE]
    return {name: task.finish(image[None], observed[None])[0] for name, image in found.items()}

"""DrawnCells: posterior draws of held-out slices, as the grid keeps them; what reports on the posterior are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.errors import BrgmError
from napari_brgm.evaluation.calibration_cells import KeptDraws
from napari_brgm.evaluation.grid.bench import GridBench, GridCell
from napari_brgm.evaluation.grid.run import run_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.tasks import Task

__all__ = ["DrawnCells"]


class DrawnCells:
    """Cells of one prior on its set.

    Parameters
    ----------
    setting : Setting

    Attributes
    ----------
    images : HeldOutImages
    tasks : dict of Task
        All of the grid, by name.

    Raises
    ------
    InputError, ScanError
        There are not so many images, or the archive is missing or damaged.
    OutputError
        The folder cannot be made.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._bench = setting, GridBench(setting)
        self.images, self.tasks = self._bench.images, self._bench.tasks

    def make(
        self, method: str, tasks: Sequence[Task], tell: Callable[[int, int, str], None] | None = None, *,
        images: Sequence[int] | None = None, processes: int = 1,
    ) -> None:  # fmt: skip
        """Restore what is not there yet, of all images or of these.

        Parameters
        ----------
        method : str
            Of ``catalogue.UNSCALED``, or ``RELEASED_ENTROPY``.
        tasks : sequence of Task
        tell : callable, optional
            Gets (done, in all, what comes next).
        images : sequence of int, optional
            Their numbers.
        processes : int

        Raises
        ------
        BrgmError
            A slice could not be restored.
        """
        names = [task.name for task in tasks]
        found = run_grid(self._setting, [method], names, tell, processes=processes, images=images, bench=self._bench)
        if found.failures:
            raise BrgmError(found.failures[0])

    def of(self, method: str, task: Task, image: int) -> KeptDraws:
        """Draws of one image, which ``make`` has made."""
        kept = self._bench.load(GridCell(method, task.name, image))
        assert kept is not None
        return KeptDraws.of(kept.arrays, kept.record["more"])

"""SupervisedNet: a trained rival as a method of the grid.

Neither SRFBN nor ESRGAN makes its result agree with what was measured, so there is no back-projection here. The
measured pixels round a hole are put back by the task, as SN-PatchGAN puts them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.evaluation.method import MethodFamily, Restored
from napari_brgm.evaluation.supervised.net import RestoringNet, enlarged, filled
from napari_brgm.evaluation.supervised.role import role_of
from napari_brgm.evaluation.supervised.weights import read_card, read_net
from napari_brgm.zoo.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.tasks import Task

__all__ = ["SupervisedNet"]


class SupervisedNet:
    """A network that was trained for one kind of task, of one size of slices.

    Parameters
    ----------
    path : Path
        File that ``napari-brgm evaluate train-rivals`` wrote.

    Raises
    ------
    WeightsError
        It is none, or damaged; a damaged network is told by ``prepare``.
    """

    family: MethodFamily = "supervised"

    def __init__(self, path: Path) -> None:
        self.path, self.card = path, read_card(path)
        self.role = role_of(self.card.name)
        self.name = self.role.name
        self._net: RestoringNet | None = None

    @property
    def title(self) -> str:
        return f"{self.role.title}, {(self.card.seconds + self.card.before) / 3600:.1f} h of one core"

    def fingerprint(self) -> dict[str, Any]:
        return {"weights": sha256_of(self.path)}

    def solves(self, task: Task) -> bool:
        fits = task.kind == self.role.kind and task.size == self.card.size
        return fits and (task.kind == "hole" or task.factor in self.card.factors)

    def prepare(self) -> None:
        if self._net is None:
            self._net, _ = read_net(self.path)

    def restore(self, observed: npt.NDArray[np.floating], task: Task, seed: int) -> Restored:
        """Restore one observation (h, w); nothing is drawn, so that ``seed`` changes nothing."""
        self.prepare()
        assert self._net is not None
        y = torch.from_numpy(np.asarray(observed, dtype=np.float32) / np.float32(255))[None, None]
        if task.missing is None:
            guess = enlarged(y, task.factor)
        else:
            guess = filled(y, torch.from_numpy(task.missing)[None, None], self._net.mean)
        with torch.inference_mode():
            estimate = self._net(guess)[0, 0] * 255
        return Restored(estimate.numpy())

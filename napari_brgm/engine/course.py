"""Course: what the window of a stack costs, stage by stage, and how far along it a run is. Imports no torch.

Costs are in steps of a slice that is restored by itself (engine/estimate.py). As measured with ``brain-axial-128``, 20
slices a window, 8 and 24 draws, steps of 0.14 s; with larger frames all of it takes longer at about the same rates.
"""

from __future__ import annotations

__all__ = ["Course"]

_STEP = 0.19  # of MAP, of one slice among others: they fill a batch
_SEEN, _BEST, _ROOTS = 0.5, 1.2, 0.15  # of a slice: seen; its part of the most probable stack; of all draws
_PLACED, _ASKED_OF = 5.7, 143  # the posterior that slices with one mask share, and how often one is asked meanwhile
_RESULT, _WRITTEN = 0.5, 0.01  # of a slice, and of a draw of it, on the scan's grid
_LATENTS, _IMAGE, _FIELD = 0.043, 0.07, 0.2  # of a draw of a slice: conjugate gradients; a network; kriging
_FULL = 0.95  # of a stage, that is taken for done after as many questions as are usual
# how often one is asked in a stage whether to go on; of fields of draws in each batch
_ASKED = {"placing": 0, "map": 0, "best": 60, "latents": 70, "images": 0, "fields": 45, "results": 0}
_OF_DRAWS = ("latents", "images", "fields", "results")


class Course:
    """The stages of one window.

    Parameters
    ----------
    slices : int
        Of the window that are not known.
    drawn : int
        Of these, those that are restored: the network draws them.
    steps : int
        Of MAP.
    draws : int
    masks : int or None
        Of the slices, how many differ, that of clear ones too. None: each restored slice has its own.

    Attributes
    ----------
    cost : float
        Of the whole window, in steps of one slice.
    """

    def __init__(self, slices: int, drawn: int, steps: int, draws: int, masks: int | None = None) -> None:
        self._slices = slices
        self._costs = {
            "placing": 0.0,
            "map": _STEP * drawn * steps,
            "best": _BEST * slices,
            "latents": (_ROOTS + _LATENTS * draws) * slices if draws else 0.0,
            "images": _IMAGE * drawn * draws,
            "fields": _FIELD * slices * draws,
            "results": _RESULT * drawn + _WRITTEN * drawn * draws,
        }
        self._stage, self._part, self._count, self._told = "placing", 0.0, 0, 0.0
        self.count_masks(drawn + 1 if masks is None else masks)

    def count_masks(self, masks: int) -> None:
        """So many of the slices' masks differ, as is known when all slices are seen."""
        self._costs["placing"] = _SEEN * self._slices + _PLACED * masks
        self._usual = _ASKED_OF * masks
        self.cost = float(sum(self._costs.values()))

    def begin(self, stage: str, *, batches: int = 1) -> None:
        """A stage begins, worked on in so many batches; those before it are done, and never come again."""
        order = list(self._costs)
        if order.index(stage) > order.index(self._stage):
            self._stage, self._part, self._count, self._usual = stage, 0.0, 0, batches * _ASKED[stage]

    def reach(self, part: float, stage: str = "") -> None:
        """So much of a stage is done, 0 .. 1: of the one under way, unless it is named and over."""
        if stage in ("", self._stage):
            self._part = max(self._part, min(part, 1.0))

    def ask(self) -> None:
        """Somebody was asked in a stage whether to go on; it may take longer than is usual, but never seems done."""
        self._count += 1
        if self._usual:
            times = self._count / self._usual
            self.reach(_FULL * times if times < 1 else 1 - (1 - _FULL) / times)

    @property
    def drawn(self) -> float:
        """Of the work on draws, 0 .. 1."""
        costs, found = [self._costs[stage] for stage in _OF_DRAWS], 0.0
        if self._stage in _OF_DRAWS:
            before = _OF_DRAWS.index(self._stage)
            found = sum(costs[:before]) + self._part * costs[before]
        return found / sum(costs)

    @property
    def share(self) -> float:
        """Of the window that is done, 0 .. 1; never less than it was."""
        before = list(self._costs)[: list(self._costs).index(self._stage)]
        done = sum(self._costs[stage] for stage in before) + self._part * self._costs[self._stage]
        self._told = max(self._told, done / self.cost)
        return self._told

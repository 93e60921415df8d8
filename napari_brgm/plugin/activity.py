"""A bar in napari's activity dock for what a panel of ours does, with a cross that cancels it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from napari.utils import cancelable_progress

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Activity"]

_WHOLE = 1000  # parts of the bar


class Activity(cancelable_progress):
    """To be made, moved and closed in the main thread.

    Parameters
    ----------
    what : str
        Stands beside the bar.
    cancel : callable
        Called when a person presses the cross.
    """

    def __init__(self, what: str, cancel: Callable[[], None]) -> None:
        self._on_cancel = cancel
        super().__init__(total=_WHOLE, desc=what, file=io.StringIO(), miniters=1)  # nothing in the terminal

    def cancel(self) -> None:
        super().cancel()
        self._on_cancel()

    def show(self, share: float) -> None:
        """Show how much is done, from 0 to 1; less than before is not shown."""
        more = round(_WHOLE * min(share, 1.0)) - int(self.n)
        if more > 0:
            self.update(more)

    def display(self, *args: Any, **kwargs: Any) -> None:
        """Tell napari the time left, also where tqdm would write to a terminal."""
        self.events.eta(value=str(self).split("|")[-1] if self.total else "")

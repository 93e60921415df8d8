"""The line in which a widget says how things stand, one sentence at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error

if TYPE_CHECKING:
    from qtpy.QtWidgets import QLabel

    from napari_brgm.errors import BrgmError

__all__ = ["StatusLine"]

_BAD = "color: #ff6b6b;"


class StatusLine:
    """Mixin of widgets that have a ``status`` label."""

    status: QLabel

    def _fail(self, error: BrgmError | str) -> None:
        """Say what is wrong, here and as a notification of napari."""
        self._say(str(error), bad=True)
        show_error(self.status.text())

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.status.setText(sentence[:1].upper() + sentence[1:])
        self.status.setStyleSheet(_BAD if bad else "")

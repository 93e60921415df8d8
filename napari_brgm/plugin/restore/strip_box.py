"""The check box 'Strip skull': there for priors that know brains, and usable where a brain can be found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox

from napari_brgm.engine.whole_head import knows_brains
from napari_brgm.scans.strip import why_no_strip

if TYPE_CHECKING:
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["StripBox"]

_TOOLTIP = (
    "The scan is a whole T1 head: find its brain in the volume (some seconds) and restore inside it; all else stays as "
    "measured"
)


class StripBox(CheckBox):
    """Checked: the image is a whole head, of which the prior is to see the brain only."""

    def __init__(self) -> None:
        reason = why_no_strip()
        super().__init__(text="Strip skull", value=False, tooltip=reason or _TOOLTIP)
        self.enabled = not reason
        self._asked = False

    def follow(self, entry: PriorEntry | None) -> None:
        """Be there for priors that know brains."""
        self._asked = entry is not None and knows_brains(entry.modality)
        self.visible = self._asked

    @property
    def wanted(self) -> bool:
        """Whether to strip: it is checked, and there to be checked."""
        return bool(self._asked and self.enabled and self.value)

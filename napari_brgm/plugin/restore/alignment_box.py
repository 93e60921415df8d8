"""Alignment of the scan with the prior: fitted, left as placed, or given by the person; shown after each run."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from napari_brgm.plugin.forms import form, wrapped

__all__ = ["AlignmentBox"]

_MODES = [
    ("fit to each slice", "fit"),
    ("box on box, not fitted", "placed"),
    ("the values below", "given"),
]
_FIELDS = {  # key: label, tooltip, lowest, highest, decimals
    "row": ("Down (pixels)", "Centre of the prior's frame below the centre of the slice", -4096, 4096, 2),
    "column": ("Right (pixels)", "Centre of the prior's frame right of the centre of the slice", -4096, 4096, 2),
    "scale": ("Size", "Of the anatomy relative to that of the prior; 1.1: 10 % larger", 0.2, 5.0, 3),
    "rotation": ("Rotation (degrees)", "Of the anatomy, anticlockwise as shown", -180, 180, 2),
    "low": ("Black", "Value of the scan that is black for the prior", -1e9, 1e9, 6),
    "high": ("White", "Value of the scan that is white for the prior", -1e9, 1e9, 6),
}


class AlignmentBox(QWidget):
    """Chooses how slices are brought into the prior's frame, and shows how they were.

    Attributes
    ----------
    mode : ComboBox
        'fit', 'placed' or 'given'.
    changed : Signal
        Another alignment is chosen.
    fields : dict of str to FloatSpinBox
        Those of ``engine.alignment.Alignment``; editable in the mode 'given'.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        tooltip = "Scans are not registered like the prior's training images: where the anatomy lies, and how bright"
        self.mode = ComboBox(label="Alignment", choices=_MODES, value="fit", tooltip=tooltip)
        self.fields: dict[str, FloatSpinBox] = {}
        for key, (label, tip, low, high, decimals) in _FIELDS.items():
            value = 1.0 if key in ("scale", "high") else 0.0
            field = FloatSpinBox(label=label, value=value, min=low, max=high, step=None, tooltip=tip)
            if isinstance(field.native, QDoubleSpinBox):
                field.native.setDecimals(decimals)
            self.fields[key] = field
        self.note = wrapped(
            "After a run these are the values it used; choose 'the values below' to keep or change them."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form(self.mode, *self.fields.values(), self.note))
        self.mode.changed.connect(self._on_mode)
        for field in self.fields.values():
            field.changed.connect(self._on_value)
        self._on_mode(self.mode.value)

    def choices(self) -> dict[str, Any]:
        """Fields of the job."""
        given = {key: float(field.value) for key, field in self.fields.items()}
        mode = self.mode.value
        return {"fit_alignment": mode == "fit", "alignment": given if mode == "given" else None}

    def show_used(self, alignment: dict[str, Any] | None) -> None:
        """Show the alignment of a finished run; values that the person gave stay."""
        if alignment is None or self.mode.value == "given":
            return
        for key, field in self.fields.items():
            used = alignment.get(key)
            if used is not None and field.min <= float(used) <= field.max:
                field.value = float(used)

    def _on_mode(self, mode: str) -> None:
        for field in self.fields.values():
            field.enabled = mode == "given"
        self.changed.emit()

    def _on_value(self, value: float) -> None:
        if self.mode.value == "given":
            self.changed.emit()

"""What every widget with a prior has: the chooser, a word on what is chosen, and the line of how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, PushButton
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_brgm.errors import BrgmError, InputError

if TYPE_CHECKING:
    import napari.viewer
    from magicgui.widgets.bases import Widget
    from napari.layers import Layer

__all__ = ["UNTRAINED", "PriorPanel", "form", "wrapped"]

UNTRAINED = "deep-image"  # zoo.registry.UNTRAINED; torch is not imported for a name
_UNTRAINED_LABEL = "none: deep image prior (untrained)"
_UNTRAINED_HINT = (
    "For modalities without a prior: continues edges and texture, knows no anatomy; its spread is a lower bound."
)
_TOOLTIP = "What the anatomy looks like: trained weights"


class PriorPanel(QWidget):
    """Base of all widgets that use a prior.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    prior : ComboBox
        Its value is the name in the registry; its tooltip is the title there.
    hint : QLabel
        When to use the untrained network; shown while it is chosen.
    status : QLabel
        The last message: progress, result or error, one sentence.
    """

    offers_untrained = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._titles: dict[str, str] = {}
        self.prior = ComboBox(label="Prior", choices=[], tooltip=_TOOLTIP)
        self.hint, self.status = wrapped(_UNTRAINED_HINT), wrapped("")
        self.hint.setStyleSheet("font-style: italic;")
        self.hint.hide()
        self.prior.changed.connect(self._on_prior)

    def refresh_priors(self) -> None:
        """Offer the priors that are there now, the untrained one last; the chosen one stays if it is among them."""
        try:
            names, self._titles = priors(), titles()
        except BrgmError as error:
            self._fail(error)
            return
        names = sorted(names, key=lambda name: name == UNTRAINED)  # stable: the order of the registry is kept
        kept = [name for name in names if self.offers_untrained or name != UNTRAINED]
        self.prior.choices = [(_UNTRAINED_LABEL if name == UNTRAINED else name, name) for name in kept]
        self._on_prior(self.prior.value)

    def chosen_prior(self) -> str:
        """Give the name of the chosen prior."""
        if self.prior.value is None:
            raise InputError("no prior is installed; install napari-brgm again")
        return str(self.prior.value)

    def _on_prior(self, name: str | None) -> None:
        """Say what the chosen prior is."""
        untrained = name == UNTRAINED
        self.prior.tooltip = _UNTRAINED_HINT if untrained else self._titles.get(name or "") or _TOOLTIP
        self.hint.setVisible(untrained)

    def _fail(self, error: BrgmError | str) -> None:
        self._say(str(error), bad=True)
        show_error(self.status.text())

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.status.setText(sentence[:1].upper() + sentence[1:])
        self.status.setStyleSheet("color: #ff6b6b;" if bad else "")

    def _layers(self, kind: type[Layer]) -> list[Any]:
        """Layers of this kind, without uncertainties, samples and previews of earlier runs."""
        aside = ("variance", "std", "samples", "interpolation", "preview")
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, kind) and layer.metadata.get("brgm", {}).get("role") not in aside
        ]


def priors() -> list[str]:
    """Names of the priors that are there."""
    from napari_brgm.zoo.registry import available_priors

    return available_priors()


def titles() -> dict[str, str]:
    """What the registry calls them, by name."""
    from napari_brgm.zoo.folder import installed
    from napari_brgm.zoo.registry import registered

    return {name: entry.title for name, entry in (installed() | registered()).items()}


def form(*widgets: Widget | QWidget) -> QWidget:
    """Lay out magicgui widgets with their labels, and plain Qt ones across."""
    made = QWidget()
    layout = QFormLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for widget in widgets:
        if isinstance(widget, QWidget):
            layout.addRow(widget)
        else:
            layout.addRow("" if isinstance(widget, PushButton | CheckBox) else widget.label, widget.native)
    return made


def wrapped(text: str) -> QLabel:
    """Make a label of several lines."""
    label = QLabel(text)
    label.setWordWrap(True)
    return label

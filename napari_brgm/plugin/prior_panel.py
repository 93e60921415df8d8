"""What every widget with a prior has: the chooser, a word on what is chosen, and the line of how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QWidget

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import wrapped
from napari_brgm.plugin.preferences import use_weights_folder
from napari_brgm.plugin.status_line import StatusLine

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["UNTRAINED", "PriorPanel"]

UNTRAINED = "deep-image"  # zoo.registry.UNTRAINED; torch is not imported for a name
_UNTRAINED_LABEL = "none: deep image prior (untrained)"
_UNTRAINED_HINT = (
    "For modalities without a prior: continues edges and texture, knows no anatomy; its spread is a lower bound."
)
# roles of layers that are no images to restore
_ASIDE = (
    "variance", "std", "low", "high", "samples", "sample", "interpolation", "preview", "probability", "contour",
)  # fmt: skip
_TOOLTIP = "What the anatomy looks like: trained weights"


class PriorPanel(StatusLine, QWidget):
    """Base of all widgets that use a prior.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    prior : ComboBox
        Its value is the name in the registry; its tooltip is the title there.
    hint : QLabel
        When to use the untrained network; shown while it is chosen.
    reason : QLabel
        Why this prior was chosen; hidden where a person chose it.
    status : QLabel
        The last message: progress, result or error, one sentence.
    """

    offers_untrained = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._entries: dict[str, PriorEntry] = {}
        self._chosen_by_hand = self._setting = False
        self.prior = ComboBox(label="Prior", choices=[], tooltip=_TOOLTIP)
        self.hint, self.reason = (wrapped(text, "font-style: italic;") for text in (_UNTRAINED_HINT, ""))
        self.status = wrapped("")
        self.hint.hide()
        self.reason.hide()
        self.prior.changed.connect(self._on_prior)

    def refresh_priors(self) -> None:
        """Offer the priors that are there now, the untrained one last; the chosen one stays if it is among them."""
        use_weights_folder()
        try:
            names, self._entries = priors(), entries()
        except BrgmError as error:
            self._fail(error)
            return
        names = sorted(names, key=lambda name: name == UNTRAINED)  # stable: the order of the registry is kept
        kept = [name for name in names if self.offers_untrained or name != UNTRAINED]
        self._setting = True
        self.prior.choices = [(_UNTRAINED_LABEL if name == UNTRAINED else name, name) for name in kept]
        self._on_prior(self.prior.value)
        self._setting = False

    def chosen_prior(self) -> str:
        """Give the name of the chosen prior."""
        if self.prior.value is None:
            raise InputError("no prior is installed; install napari-brgm again")
        return str(self.prior.value)

    def _set_prior(self, name: str, reason: str) -> None:
        """Choose a prior for the person, and say why."""
        self._setting = True
        self.prior.value = name
        self._setting = False
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))

    def _on_prior(self, name: str | None) -> None:
        """Say what the chosen prior is."""
        if not self._setting and name is not None and self.prior.value == name:
            self._chosen_by_hand = True
            self.reason.hide()
        untrained = name == UNTRAINED
        entry = self._entries.get(name or "")
        self.prior.tooltip = _UNTRAINED_HINT if untrained else (entry.title if entry else "") or _TOOLTIP
        self.hint.setVisible(untrained)

    def _layers(self, kind: type[Layer]) -> list[Any]:
        """Layers of this kind, without uncertainties, samples and previews of earlier runs."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, kind) and layer.metadata.get("brgm", {}).get("role") not in _ASIDE
        ]


def priors() -> list[str]:
    """Names of the priors that are there."""
    from napari_brgm.zoo.registry import available_priors

    return available_priors()


def entries() -> dict[str, PriorEntry]:
    """What the registry knows of them, by name."""
    from napari_brgm.zoo.folder import installed
    from napari_brgm.zoo.registry import registered

    return installed() | registered()

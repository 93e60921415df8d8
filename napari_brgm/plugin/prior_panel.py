"""What every widget with a prior has: the chooser, and a word on what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.forms import wrapped
from napari_brgm.plugin.preferences import use_weights_folder
from napari_brgm.plugin.torch_loading import is_loaded, load_torch
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["DEVICE_TOOLTIP", "PriorPanel", "has_density", "knows_stacks", "offered_priors", "takes_slice_as_frame"]

_OWN_FRAME_HINT = (
    "For modalities without a prior: continues edges and texture, knows no anatomy; its spread is a lower bound."
)
# roles of layers that are no images to restore
_ASIDE = (
    "variance", "std", "low", "high", "samples", "sample", "interpolation", "preview", "probability", "contour",
)  # fmt: skip
DEVICE_TOOLTIP = "Where it is computed; auto takes a graphics card where one can be used"
_TOOLTIP = "What the anatomy looks like: trained weights"


class PriorPanel(TaskWidget):
    """Base of all widgets that use a prior.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    prior : ComboBox
        Its value is the name in the registry; its tooltip is the title there.
    hint : QLabel
        When to use a prior that knows no anatomy; shown while it is chosen.
    reason : QLabel
        Why this prior was chosen; hidden where a person chose it.
    """

    only_with_density = False  # whether priors that cannot be drawn from are left out

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._entries: dict[str, PriorEntry] = {}
        self._chosen_by_hand = self._setting = False
        self.prior = ComboBox(label="Prior", choices=[], tooltip=_TOOLTIP)
        self.hint, self.reason = (wrapped(text, "font-style: italic;") for text in (_OWN_FRAME_HINT, ""))
        self.hint.hide()
        self.reason.hide()
        self.prior.changed.connect(self._on_prior)

    def refresh_priors(self) -> None:
        """Offer the priors that are there now, as soon as torch is loaded; the chosen one stays if it is among them."""
        load_torch(self, self._offer_priors)

    def _offer_priors(self) -> None:
        use_weights_folder()
        try:
            found = offered_priors()
        except BrgmError as error:
            self._fail(error)
            return
        kept = {name: entry for name, entry in found.items() if has_density(entry) or not self.only_with_density}
        self._entries = kept
        self._setting = True
        self.prior.choices = [
            (_none(entry) if takes_slice_as_frame(entry) else name, name) for name, entry in kept.items()
        ]
        self._on_prior(self.prior.value)
        self._setting = False
        self._on_priors()

    def _on_priors(self) -> None:
        """Follow the priors that are offered now."""

    def chosen_prior(self) -> str:
        """Give the name of the chosen prior."""
        if not is_loaded():
            raise InputError("the priors are still being loaded; try again in a moment")
        if self.prior.value is None:
            raise InputError("no prior is installed; install napari-brgm again")
        return str(self.prior.value)

    def _set_prior(self, name: str) -> None:
        """Choose a prior for the person."""
        self._setting = True
        self.prior.value = name
        self._setting = False

    def _give_reason(self, text: str, style: str) -> None:
        """Say why a prior was chosen, or cannot be."""
        self.reason.setText(text)
        self.reason.setStyleSheet(style)
        self.reason.setVisible(bool(text))

    def _on_prior(self, name: str | None) -> None:
        """Say what the chosen prior is."""
        if not self._setting and name is not None and self.prior.value == name:
            self._chosen_by_hand = True
            self.reason.hide()
        entry = self._entries.get(name or "")
        ignorant = entry is not None and takes_slice_as_frame(entry)
        self.prior.tooltip = _OWN_FRAME_HINT if ignorant else (entry.title if entry else "") or _TOOLTIP
        self.hint.setVisible(ignorant)

    def _layers(self, kind: type[Layer]) -> list[Any]:
        """Layers of this kind, without uncertainties, samples and previews of earlier runs."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, kind) and layer.metadata.get("brgm", {}).get("role") not in _ASIDE
        ]


def offered_priors() -> dict[str, PriorEntry]:
    """Priors that can be loaded, by name, in the order in which they are offered."""
    from napari_brgm.zoo.registry import loadable

    return {entry.name: entry for entry in sorted(loadable().values(), key=lambda entry: entry.rank)}


def has_density(entry: PriorEntry) -> bool:
    """Whether the latents of a prior have a density, to be drawn from and to fit a spread in."""
    return not entry.preset or preset(entry.preset).prior_density != "flat"


def knows_stacks(entry: PriorEntry) -> bool:
    """Whether a prior knows how neighbouring slices belong together."""
    from napari_brgm.zoo import registry

    return registry.knows_stacks(entry)


def takes_slice_as_frame(entry: PriorEntry) -> bool:
    """Whether a prior was trained on nothing, so that its frame is that of the slice."""
    return not entry.resolution and not has_density(entry)


def _none(entry: PriorEntry) -> str:
    return f"none: {entry.title.partition(':')[0].lower()} (untrained)"

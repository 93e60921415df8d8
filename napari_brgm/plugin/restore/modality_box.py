"""What a scan is, where nothing says so: the panel asks, and looks at the picture meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from magicgui.widgets import ComboBox
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.background import BackgroundTask
from napari_brgm.plugin.forms import show_row
from napari_brgm.plugin.prior_panel import has_density

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.layers import Image

    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["ModalityBox"]

_NOT_SAID = ("nothing says so", "")
_TOOLTIP = "What the scan is: the file does not say, and priors know one kind of scan each"
_LIKE = 1.0  # of a prior's limit; held-out slices stay below


class ModalityBox(QObject):
    """A row of a form that is there for scans of unknown modality only.

    Attributes
    ----------
    choice : ComboBox
        '' while nothing says so.
    task : BackgroundTask or None
        Looks at the picture.
    unlike : str
        What is to be said of a picture that is like none that the priors know; '' where it is like one, or not looked
        at.
    changed : Signal
        Another modality was chosen, by the person or by the look of the picture.
    looked : Signal
        The picture was looked at, whatever was found.
    """

    changed, looked = Signal(), Signal()

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self.choice = ComboBox(label="Modality", choices=[_NOT_SAID], tooltip=_TOOLTIP)
        self.choice.changed.connect(self._on_choice)
        self.task: BackgroundTask | None = None
        self._image: Image | None = None
        self._setting = False
        self._found = ""  # by the look of the picture
        self._looked_at: WeakKeyDictionary[Image, tuple[str, str]] = WeakKeyDictionary()  # modality, or what to say
        self._looking_at: Image | None = None
        self.unlike = ""
        self._next: tuple[Callable[[], ShownSlice], Mapping[str, PriorEntry]] | None = None  # look

    @property
    def value(self) -> str:
        """The modality, '' while nobody says."""
        return str(self.choice.value or "")

    @property
    def how(self) -> str:
        """How it is known: 'looks like' or 'is said to be'."""
        return "looks like" if self.value == self._found else "is said to be"

    @property
    def looking(self) -> bool:
        """Whether the look at the picture may still tell what it is."""
        return self.task is not None and not self.value and self._looking_at is self._image

    def follow(self, image: Image | None, said: str, entries: Mapping[str, PriorEntry]) -> None:
        """Ask about this image, unless its file has said what it is, or there is none."""
        asked = image is not None and not said
        show_row(self.choice, asked)
        self._setting = True
        known = sorted({entry.modality for entry in entries.values() if entry.modality})
        if image is not self._image:
            self._found, self.unlike = ("", "") if image is None else self._looked_at.get(image, ("", ""))
        kept = self.value if image is self._image else self._found
        self.choice.choices = [_NOT_SAID, *((name, name) for name in known)]
        self.choice.value = kept if kept in known else ""
        self._setting = False
        if image is not self._image:
            self._image = image
            if self.task is not None:
                self.task.cancel()

    def look(self, shown: Callable[[], ShownSlice], entries: Mapping[str, PriorEntry]) -> None:
        """Look which prior the slice on show is like, once an image, in a thread."""
        self._next = None
        if self.value or self._image is None or self._image in self._looked_at:
            return
        if self.task is not None:
            self._next = shown, entries  # of another image, which waits until that is over
            return
        candidates = _one_of_each(entries)
        if len(candidates) < 2:
            return
        try:
            plane = shown()
        except BrgmError:  # Run says what is wrong
            return
        looked_at = self._looking_at = self._image

        def work(tell: Callable[..., None]) -> tuple[Image, dict[str, float]]:
            from napari_brgm.engine.likeness import likeness
            from napari_brgm.zoo.registry import load_prior

            found = {}
            for modality, name in candidates.items():
                ratio = likeness(plane.image, load_prior(name), plane.spacing, tell)
                if ratio is not None:
                    found[modality] = ratio
            return looked_at, found

        slots = {"returned": self._on_found, "errored": self._on_error, "finished": self._on_finish}
        self.task = BackgroundTask(work, "the look at the picture", slots)

    def let_go(self) -> None:
        """End what is under way."""
        self._next = None
        if self.task is not None:
            self.task.cancel()

    def _on_found(self, result: tuple[Image, dict[str, float]]) -> None:
        image, found = result
        if not found:
            return
        nearest = min(found, key=lambda modality: found[modality])
        if found[nearest] <= _LIKE:
            self._looked_at[image] = nearest, ""
        else:
            unlike = f"The picture does not look like {' or '.join(found)}: is it turned or inverted?"
            self._looked_at[image] = "", unlike
        if image is not self._image or self.value:
            return
        self._found, self.unlike = self._looked_at[image]
        if self._found:
            self.choice.value = self._found

    def _on_error(self, error: Exception) -> None:
        """It stays the person's to say."""

    def _on_finish(self) -> None:
        if self.task is not None and self._looking_at is not None and not self.task.cancelled:
            self._looked_at.setdefault(self._looking_at, ("", ""))  # one that cannot be looked at is not tried again
        self.task = self._looking_at = None
        if self._next is not None:
            self.look(*self._next)
        self.looked.emit()

    def _on_choice(self, value: Any = None) -> None:
        if not self._setting:
            self.changed.emit()


def _one_of_each(entries: Mapping[str, PriorEntry]) -> dict[str, str]:
    """For each modality the name of the finest prior that knows it."""
    found: dict[str, PriorEntry] = {}
    for entry in entries.values():
        if entry.modality and entry.resolution and has_density(entry):
            best = found.get(entry.modality)
            if best is None or (-entry.rank, entry.resolution) > (-best.rank, best.resolution):
                found[entry.modality] = entry
    return {modality: entry.name for modality, entry in found.items()}

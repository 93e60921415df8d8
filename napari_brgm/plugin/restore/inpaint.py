"""In-paint widget: restore what is painted over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, PushButton
from napari.layers import Labels
from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.layers.geometry import geometry
from napari_brgm.plugin.layers.planes import all_planes, masked_planes, next_masked
from napari_brgm.plugin.layers.scans import mask_colours
from napari_brgm.plugin.layers.shown import mask_on, shown_slice, stored
from napari_brgm.plugin.layers.stacks import stack_of
from napari_brgm.plugin.prior_panel import knows_stacks
from napari_brgm.plugin.restore.keys import with_key
from napari_brgm.plugin.restore.live import HiddenPart, LiveFill, Stroke
from napari_brgm.plugin.restore.masks import mask_for, why_hidden
from napari_brgm.plugin.restore.panel import RestorationPanel
from napari_brgm.plugin.restore.preview import Part
from napari_brgm.plugin.restore.suggest import Suggestion, add_suggestion, suggesting

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.job import Stack
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.plugin.restore.ongoing import Ongoing

__all__ = ["InpaintWidget"]

_BRUSH_MM = 8.0
_ANY = ("any painted label", 0)


class InpaintWidget(RestorationPanel):
    """Restores the painted part of a slice; all other pixels stay as they were measured.

    Attributes
    ----------
    labels : ComboBox
        The mask.
    label : ComboBox
        Which of its labels is missing; 0: any.
    paint_button : PushButton
        Adds a labels layer on the image's grid, brush in hand.
    together : CheckBox
        Whether what neighbouring slices measured is used.
    """

    restores: ClassVar[str] = "in-paint"
    help: ClassVar[str] = "Paint over the artefact on the slice on show, then press Run."
    run_all_text: ClassVar[str] = "Run on all masked slices"
    run_all_tooltip: ClassVar[str] = with_key("Restore every masked slice; to look at the next one", "next_masked")
    _painted: Labels | None = None  # whose strokes are listened to
    _of_filling = ""  # what the filling said last, as it was shown
    _painted_since = False  # since something was said but of the filling
    _guess: tuple[Stroke, npt.NDArray[np.float32]] | None = None  # what was filled when Run was pressed

    def inputs(self) -> Sequence[Widget | QWidget]:
        self.labels = ComboBox(
            label="Mask", choices=lambda _: self._layers(Labels), tooltip="What is painted is missing"
        )
        self.label = ComboBox(label="Label", choices=[_ANY], tooltip="Which label is missing")
        self.paint_button = PushButton(
            text="Paint artefact mask", tooltip=with_key("New labels on the image's grid, brush in hand", "paint")
        )
        self.suggest_button = QPushButton("Suggest mask")
        self.suggest_button.setToolTip("Mark what the prior cannot explain, to be corrected by hand")
        menu = QMenu(self.suggest_button)
        menu.addAction("On this slice", lambda: self._guarded(self.suggest))
        menu.addAction("On all slices", lambda: self._guarded(lambda: self.suggest(everywhere=True)))
        self.suggest_button.setMenu(menu)
        self.labels.changed.connect(self._on_labels)
        self.paint_button.clicked.connect(lambda: self._guarded(self.paint))
        self.together = CheckBox(
            text="Use neighbouring slices",
            value=True,
            tooltip="What was measured above and below tells most of what is hidden. Off: each slice by itself",
        )
        self.while_painting = CheckBox(
            text="Fill while painting",
            value=True,
            tooltip="A preview from this slice alone, by the straight line near the prior; Run refines it",
        )
        self.live = LiveFill(self, self.viewer, self.stroke, self._say_of_filling)
        for choice in (self.while_painting, self.image, self.prior, self.label, self.strip, self.alignment):
            choice.changed.connect(self.live.look)
        self.together.changed.connect(self._on_cost)
        self.image.changed.connect(self._on_other_image)
        return [
            self.labels,
            self.label,
            self.paint_button,
            self.suggest_button,
            self.while_painting,
            self.together,
        ]

    def looks_at_neighbours(self) -> bool:
        return bool(self.together.value) and self._may_look()

    def _may_look(self) -> bool:
        """Whether there are neighbours that the prior can make use of."""
        image, entry = self.image.value, self.chosen_entry()
        many = image is not None and image.ndim > 2 and self.method.value == "map"
        return many and entry is not None and knows_stacks(entry)

    def stroke(self) -> Stroke | None:
        """What is painted on the slice on show, to be filled while it is painted; None: nothing is."""
        image, labels, entry = self.image.value, self.labels.value, self.chosen_entry()
        wanted = self.while_painting.value and self.task is None and self._run is None and not self.strip.wanted
        if not wanted or image is None or labels is None or entry is None or not entry.resolution:
            return None
        try:
            shown = shown_slice(image, self.viewer.dims)
            missing = mask_on(shown, image, labels, self.label.value or None)
        except BrgmError:  # Run says what is wrong
            return None
        given = self.alignment.choices()
        return Stroke(image, shown, missing, entry.name, given["fit_alignment"], given["alignment"])

    def _say_of_filling(self, text: str) -> None:
        """Say what the filling has to say, or no more; not over what else was said since something was painted."""
        now = self.status.text()
        if self._run is None and (now in ("", self._of_filling) or (text and self._painted_since)):
            super()._say(text)
            self._of_filling = self.status.text()

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        super()._say(sentence, bad=bad)
        self._painted_since = False

    def reset_choices(self, event: object = None) -> None:
        super().reset_choices(event)
        self.labels.reset_choices()
        self.live.look()

    def parts(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        labels = self.labels.value
        if labels is None:
            raise InputError("there is no mask; press 'Paint artefact mask' and paint over the artefact")
        if everywhere:
            masked = masked_planes(image, labels, shown, self.label.value or None)
        else:
            masked = [(shown, mask_on(shown, image, labels, self.label.value or None))]
        return [
            Part(
                plane,
                _observed(plane, missing),
                missing,
                guess=self._guess_on(image, plane),
            )
            for plane, missing in masked
        ]

    def _guess_on(self, image: Image, plane: ShownSlice) -> npt.NDArray[np.float32] | None:
        stroke, estimate = self._guess or (None, None)
        there = stroke is not None and stroke.image is image and stroke.shown.index == plane.index
        return estimate if there else None

    def _begin(self, everywhere: bool) -> None:
        self._guess = self.live.filled  # the hole does not turn black until the first estimate
        self.live.clear()
        super()._begin(everywhere)

    def _added(self, run: Ongoing, done: list[tuple[ShownSlice, Restoration]]) -> list[Image]:
        shown = {id(plane) for plane, _ in done}
        restored = [
            HiddenPart(ref(run.image), part.shown.index, part.missing)
            for part in run.parts
            if part.missing is not None and id(part.shown) in shown
        ]
        layers = super()._added(run, done)
        self.live.settle(layers[0], restored)
        return layers

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        self.live.let_go()

    def stack(self, image: Image, parts: Sequence[Part], shown: ShownSlice) -> Stack | None:
        return self._beside(image, parts) if self.together.value else None

    def _beside(self, image: Image, parts: Sequence[Part]) -> Stack | None:
        """How these slices lie to each other, and to those on which nothing is painted."""
        labels, shown = self.labels.value, parts[0].shown
        if labels is None or image.ndim < 3:
            return None
        painted = masked_planes(image, labels, shown, self.label.value or None)
        across = next((a for a in range(image.ndim) if a not in (shown.rows, shown.columns)), 0)
        spoilt = {plane.index[across] for plane, _ in painted}
        return stack_of(image, [part.shown for part in parts], {int(i) for i in spoilt if not isinstance(i, slice)})

    def check(self, parts: Sequence[Part], stack: Stack | None) -> None:
        hidden = why_hidden(parts, stack if self.looks_at_neighbours() else None)
        if hidden:
            image = self.chosen_image()
            off = not self.together.value and self._may_look() and not why_hidden(parts, self._beside(image, parts))
            raise InputError(f"{hidden}, or turn on 'Use neighbouring slices'" if off else hidden)
        if not any(part.missing is not None and part.missing.all() for part in parts):
            super().check(parts, stack)

    def refresh_labels(self, event: object = None) -> None:
        """Offer the labels that are painted in the chosen layer; the choice stays if it is among them."""
        labels = self.labels.value
        data = None if labels is None else stored(labels)
        found = np.unique(data).tolist() if isinstance(data, np.ndarray) else []  # lazy labels are not all computed
        kept = self.label.value
        self.label.choices = [_ANY, *((f"only {value}", int(value)) for value in found if value)]
        if kept in self.label.choices:
            self.label.value = kept

    def _on_labels(self, labels: Labels | None) -> None:
        if self._painted is not None:
            self._painted.events.paint.disconnect(self._on_paint)
            self._painted.events.data.disconnect(self.refresh_labels)
        self._painted = labels
        self.live.follow(labels)
        if labels is not None:
            labels.events.paint.connect(self._on_paint)
            labels.events.data.connect(self.refresh_labels)
        self.refresh_labels()

    def _on_other_image(self, image: Image | None) -> None:
        mask = None if image is None else mask_for(image, self.labels.choices, self.labels.value)
        if mask is not None:
            self.labels.value = mask

    def _on_paint(self, event: object = None) -> None:
        self._painted_since = True
        value = int(self._painted.selected_label) if self._painted is not None else 0
        if value and value not in self.label.choices:
            self.label.choices = [*self._named_labels(), (f"only {value}", value)]

    def _named_labels(self) -> list[tuple[str, int]]:
        return [_ANY if value == 0 else (f"only {value}", int(value or 0)) for value in self.label.choices]

    def suggest(self, *, everywhere: bool = False) -> None:
        """Mark what the prior cannot explain, on the slice on show or on all."""
        image, prior = self.chosen_image(), self.chosen_prior()
        shown = shown_slice(image, self.viewer.dims)
        planes = all_planes(image, shown) if everywhere else [shown]
        self._say("looking for what the prior cannot explain ...")
        self._start_task(suggesting(image, planes, prior), "the look for artefacts")

    def _on_report(self, report: tuple[Any, ...]) -> None:
        if self._run is None:  # a look for artefacts
            TaskWidget._on_report(self, report)
        else:
            super()._on_report(report)

    def _on_result(self, results: Any) -> None:
        if not isinstance(results, Suggestion):
            super()._on_result(results)
            return
        looked = "this slice" if results.looked == 1 else f"{results.looked} slices"
        failed = f"; others could not be looked at: {results.failed}" if results.failed else ""
        if results.image not in self.viewer.layers:
            self._fail(f"'{results.image.name}' is no longer open; open it and look again")
        elif results.planes:
            self.labels.value = add_suggestion(self.viewer, results, self.labels.value)
            pixels = sum(int(marked.sum()) for _, marked in results.planes)
            clean = "clean ones may be among them"
            self._say(f"marked {pixels} pixels on {looked}{failed}; {clean}: correct them by hand, then press Run")
        else:
            self._say(f"the prior explains all of {looked}{failed}")

    def on_key_paint(self) -> None:
        """Take the brush to the mask, or to a new one."""
        if self.labels.value is None:
            self._guarded(self.paint)
        else:
            self.viewer.layers.selection.active = self.labels.value
            self.labels.value.mode = "paint"

    def on_key_next_masked(self) -> None:
        """Show the next slice that is painted on."""
        self._guarded(self.show_next_masked)

    def show_next_masked(self) -> None:
        """Move the sliders to the next slice that is painted on."""
        image, labels = self.chosen_image(), self.labels.value
        if labels is None:
            raise InputError("there is no mask; press 'Paint artefact mask' and paint over the artefact")
        index = next_masked(image, labels, shown_slice(image, self.viewer.dims), self.label.value or None)
        data = [0 if isinstance(i, slice) else i for i in index]
        world = image.data_to_world(data)
        first = self.viewer.dims.ndim - image.ndim
        for axis, i in enumerate(index):
            if not isinstance(i, slice):
                self.viewer.dims.set_point(first + axis, float(world[axis]))

    def paint(self) -> None:
        """Add an empty mask over the image, ready to paint on."""
        image = self.chosen_image()
        shown = shown_slice(image, self.viewer.dims)
        labels = self.viewer.add_labels(
            np.zeros(stored(image).shape, dtype=np.uint8),
            name=f"{image.name} artefact mask",
            opacity=0.6,
            colormap=mask_colours(),
            **geometry(image),
        )
        labels.brush_size = _brush(shown)
        labels.mode = "paint"
        self.viewer.layers.selection.active = labels
        self.labels.value = labels
        self._say("paint over the artefact, then press Run")


def _observed(plane: ShownSlice, missing: npt.NDArray[np.bool_]) -> ObservedSlice:
    """Without an image where nothing was measured: its neighbours tell of it."""
    if missing.all():
        return ObservedSlice(None, _unmasked, plane.spacing)
    return ObservedSlice(plane.image, partial(_masked, missing), plane.spacing)


def _unmasked() -> Corruption:
    from napari_brgm.corruptions import Identity

    return Identity()


def _masked(missing: npt.NDArray[np.bool_]) -> Corruption:
    from napari_brgm.corruptions import Mask

    return Mask(missing)


def _brush(shown: ShownSlice) -> int:
    """Width of the brush in pixels: 8 mm, or 4 % of the shorter side where the pixel size is not known."""
    if shown.spacing is None:
        return max(2, round(0.04 * int(min(shown.image.shape))))
    return max(2, round(_BRUSH_MM / float(max(shown.spacing))))

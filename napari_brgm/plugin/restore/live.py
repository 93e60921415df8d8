"""Live in-painting: holes fill while they are painted, as the prior's line has it, until Run refines them.

It begins with a stroke, not with a mask that is there already. What is computed for one stroke while the next is drawn
is shown, and the next follows. Nothing of it stays: the layers go with the mask, with the slice, and with a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_brgm.errors import Cancelled
from napari_brgm.plugin.background import BackgroundTask
from napari_brgm.plugin.layers.geometry import plane_data, plane_geometry
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.results import tint
from napari_brgm.plugin.layers.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_brgm.engine.live import Filled, LiveSlice
    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.priors.prior import Prior

__all__ = ["HiddenPart", "LiveFill", "Stroke"]

_SOON_MS = 40  # after a stroke: those of one movement come together
_ROLES = ("preview", "preview std")


@dataclass(frozen=True, slots=True, eq=False)
class HiddenPart:
    """What is hidden (H, W) of a slice of a layer, which it does not keep."""

    image: ref[Image]
    index: tuple[int | slice, ...]
    missing: npt.NDArray[np.bool_]

    def is_as(self, other: HiddenPart) -> bool:
        """Whether the same is hidden of the same slice."""
        there = self.image() is other.image() is not None and self.index == other.index
        return there and np.array_equal(self.missing, other.missing)


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """What is painted on the slice on show, and what it is to be filled by.

    Attributes
    ----------
    image : Image
    shown : ShownSlice
    missing : (H, W) bool ndarray
    prior : str
    fit : bool
        Whether the slice's pose is fitted.
    alignment : dict or None
        Given by the person.
    """

    image: Image
    shown: ShownSlice
    missing: npt.NDArray[np.bool_]
    prior: str
    fit: bool = True
    alignment: dict[str, float] | None = None

    def of_same_slice(self, other: Stroke | None) -> bool:
        """Whether what is known of the other's slice holds of this one's."""
        return other is not None and (
            (self.image, self.shown.index, self.prior, self.fit, self.alignment)
            == (other.image, other.shown.index, other.prior, other.fit, other.alignment)
            and np.array_equal(self.shown.image, other.shown.image, equal_nan=True)
        )

    def live(self, prior: Prior) -> LiveSlice:
        """In a thread: what it is filled by."""
        from napari_brgm.engine.alignment import Alignment
        from napari_brgm.engine.live import LiveSlice
        from napari_brgm.settings import preset

        settings = preset(prior.info.preset).but(fit_pose=self.fit)
        given = None if self.alignment is None else Alignment.from_dict(self.alignment)
        return LiveSlice(self.shown.image, prior, self.shown.spacing, settings, given)

    @property
    def hole(self) -> HiddenPart:
        """Where it is."""
        return HiddenPart(ref(self.image), self.shown.index, self.missing)

    def is_as(self, other: Stroke | None) -> bool:
        """Whether the same comes of it."""
        return other is not None and self.of_same_slice(other) and self.hole.is_as(other.hole)


class LiveFill(QObject):
    """Fills what is painted, one stroke after the other.

    Parameters
    ----------
    owner : QObject
        Goes with it.
    viewer : ViewerModel
    stroke : callable
        Says what is painted now; None: nothing that is to be filled.
    say : callable
        Gets the sentence that the person is to read.

    Attributes
    ----------
    task : BackgroundTask or None
        What is under way.
    layers : list of Image
        Estimate and standard deviation that are on show.
    """

    def __init__(
        self,
        owner: QObject,
        viewer: ViewerModel,
        stroke: Callable[[], Stroke | None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(owner)
        self._viewer, self._stroke, self._say = viewer, stroke, say
        self.task: BackgroundTask | None = None
        self.layers: list[Image] = []
        self._labels: Labels | None = None
        self._painted = False  # since these labels are followed
        self._prior: tuple[str, Prior] | None = None
        self._known: tuple[Stroke, LiveSlice] | None = None
        self._filling: Stroke | None = None
        self._filled: Stroke | None = None
        self._estimate: npt.NDArray[np.float32] | None = None  # on show
        self._settled: WeakKeyDictionary[Layer, list[HiddenPart]] = WeakKeyDictionary()
        self._text = ""  # what is said of it
        self._again = False  # something was painted since the one that is being filled
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._look)
        for event in (viewer.dims.events.current_step, viewer.dims.events.order):
            event.connect(self.look)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._on_layer)

    def follow(self, labels: Labels | None) -> None:
        """Fill what is painted in these labels from now on; None: in none."""
        if self._labels is not None:
            self._labels.events.paint.disconnect(self._on_paint)
            self._labels.events.set_data.disconnect(self.look)
        self._labels, self._painted = labels, False
        if labels is not None:
            labels.events.paint.connect(self._on_paint)
            labels.events.set_data.connect(self.look)
        self.clear()

    @property
    def filled(self) -> tuple[Stroke, npt.NDArray[np.float32]] | None:
        """What is on show: the stroke, and the estimate (H, W) that fills it, no number elsewhere."""
        return None if self._filled is None or self._estimate is None else (self._filled, self._estimate)

    def look(self, event: object = None) -> None:
        """Something may have changed."""
        if self._painted:
            self._soon.start()

    def settle(self, result: Layer, holes: Sequence[HiddenPart]) -> None:
        """Leave these as they are while the result of the run is there that has restored them."""
        self._settled[getattr(result, "__wrapped__", result)] = list(holes)  # not napari's proxy of it
        self.clear()

    def _on_layer(self, event: Any) -> None:
        if event.value not in self._settled:
            return
        if event.type == "inserted":  # what is being filled is restored again
            self.clear()
        self.look()

    def _on_paint(self, event: object = None) -> None:
        self._painted = True
        self._soon.start()

    def clear(self) -> None:
        """Take the layers away, and let what is under way come to nothing."""
        self._soon.stop()
        self._again, self._filled, self._estimate = False, None, None
        if self.task is not None:
            self.task.cancel()
            self._filling = None
        self._say("")
        self._hide()

    def _hide(self) -> None:
        for layer in self.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.layers = []

    def let_go(self) -> None:
        """Hear nothing more."""
        self.follow(None)
        for event in (self._viewer.dims.events.current_step, self._viewer.dims.events.order):
            event.disconnect(self.look)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self._on_layer)
        self.clear()

    def _look(self) -> None:
        if self.task is not None:
            self._again = True
            return
        stroke = self._stroke()
        restored = (one for result, own in self._settled.items() if result in self._viewer.layers for one in own)
        if stroke is None or any(stroke.hole.is_as(one) for one in restored):
            self.clear()
        elif not stroke.is_as(self._filled):
            if not stroke.of_same_slice(self._filled):
                self.clear()
            self._fill(stroke)
        else:  # what was said since may be taken back
            self._say(self._text)

    def _fill(self, stroke: Stroke, *, anew: bool = False) -> None:
        known = self._known[1] if self._known is not None and stroke.of_same_slice(self._known[0]) else None
        prior = self._prior[1] if self._prior is not None and self._prior[0] == stroke.prior else None
        self._filling, self._again = stroke, False
        if prior is None:
            self._say("loading the prior and fitting the slice ...")

        def work(tell: Callable[..., None]) -> tuple[Prior, LiveSlice, Filled]:
            found = prior or _loaded(stroke.prior)
            live = known or stroke.live(found)
            if anew:
                live.place(stroke.missing, tell)
            return found, live, live.fill(stroke.missing, tell)

        slots = {"returned": self._on_result, "errored": self._on_error, "finished": self._on_finish}
        self.task = BackgroundTask(work, "the filling", slots)

    def _on_result(self, result: tuple[Prior, LiveSlice, Filled]) -> None:
        stroke, (prior, live, filled) = self._filling, result
        if stroke is None or self.task is None or self.task.cancelled:
            return
        self._prior, self._known, self._filled = (stroke.prior, prior), (stroke, live), stroke
        self._show(stroke, filled)
        notes = (f"{note[:1].upper()}{note[1:]}" for note in filled.notes)
        self._text = ". ".join(("a preview; press Run to refine it", *notes))
        self._say(self._text)

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, Cancelled):
            self._known, self._filled, self._estimate = None, self._filling, None
            self._hide()
            self._text = f"not filled: {error}"
            self._say(self._text)

    def _on_finish(self) -> None:
        self.task, stroke = None, self._filling
        self._filling = None
        if self._again:
            self._again = False
            self.look()
        elif stroke is not None and self._known is not None and self._known[1].outgrown(stroke.missing):
            self._fill(stroke, anew=True)

    def _show(self, stroke: Stroke, filled: Filled) -> None:
        """In layers of ours over the hole; elsewhere they are clear, so that the brush is seen."""
        self._estimate = estimate = np.where(stroke.missing, filled.estimate, np.nan).astype(np.float32)
        data = [plane_data(stroke.image, stroke.shown, one) for one in (estimate, filled.std)]
        most = float(filled.std.max()) or 1.0
        if not all(layer in self._viewer.layers for layer in self.layers):  # the person took one away
            self._hide()
        if not self.layers:
            selected, active = set(self._viewer.layers.selection), self._viewer.layers.selection.active
            place = plane_geometry(stroke.image, stroke.shown, stroke.missing.shape)
            looks: list[dict[str, Any]] = [
                {"colormap": stroke.image.colormap, "contrast_limits": tuple(stroke.image.contrast_limits)},
                {"colormap": tint(), "contrast_limits": (0.0, most), "blending": "translucent", "opacity": 0.4},
            ]
            self.layers = [
                self._viewer.add_image(
                    one, name=result_name(role, stroke.image.name), rgb=False, metadata={"brgm": {"role": "preview"}},
                    **place, **look,
                )
                for one, role, look in zip(data, _ROLES, looks, strict=True)
            ]  # fmt: skip
            self._viewer.layers.selection = selected  # the brush stays in the hand
            self._viewer.layers.selection.active = active
            mark_synthetic(self._viewer)
            return
        for layer, one in zip(self.layers, data, strict=True):
            layer.data[...] = one
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        self.layers[1].contrast_limits = (0.0, most)


def _loaded(name: str) -> Prior:
    from napari_brgm.zoo.registry import load_prior

    return load_prior(name)

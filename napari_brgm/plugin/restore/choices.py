"""The choices that all widgets that restore offer, and their layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, SpinBox
from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QProgressBar, QPushButton

from napari_brgm.engine.devices import why_cpu
from napari_brgm.engine.estimate import Work, estimated_seconds, in_words
from napari_brgm.engine.job import Job
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import ADVICE, SAFETY, form, row, wrapped
from napari_brgm.plugin.layers.anatomy import plane_of
from napari_brgm.plugin.layers.results import LAYER_NOTICE, Extras
from napari_brgm.plugin.layers.shown import check_restorable, shown_axes, shown_slice, stored
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.prior_panel import DEVICE_TOOLTIP, PriorPanel, has_density, knows_stacks
from napari_brgm.plugin.restore.alignment_box import AlignmentBox
from napari_brgm.plugin.restore.backend_box import BackendBox
from napari_brgm.plugin.restore.keys import with_key
from napari_brgm.plugin.restore.matching import best_prior, modality_of
from napari_brgm.plugin.restore.modality_box import ModalityBox
from napari_brgm.plugin.restore.strip_box import StripBox
from napari_brgm.plugin.torch_loading import is_loaded
from napari_brgm.settings import QUALITIES, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.viewer
    from magicgui.widgets.bases import Widget
    from qtpy.QtGui import QShowEvent
    from qtpy.QtWidgets import QWidget

    from napari_brgm.engine.job import ObservedSlice, Stack
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["ChoicesPanel"]

_MAP = ("MAP: the most probable image", "map")
_METHODS = (_MAP, ("Laplace: MAP, its spread measured", "laplace"), ("VI: mean of the posterior", "vi"))
_METHOD_TOOLTIP = (
    "MAP is fast; Laplace measures the spread round it by the network's own slopes; VI fits mean and spread"
)
_QUALITY_TOOLTIP = "How many steps are taken: more of them fit the scan better, and take longer"
_STD_TOOLTIP = "How uncertain each pixel is, in the units of the scan"
_INTERVAL_TOOLTIP = "The ends of each pixel's credible interval"
_LEVEL_TOOLTIP = "How sure the interval is: the share of true values that it is to hold"
_SAMPLES_TOOLTIP = "Images that fit the data alike, to scroll through: what changes among them is not known"
_NO_VI = "Only MAP is offered: an untrained network has no density whose spread could be fitted."


class ChoicesPanel(PriorPanel):
    """What to restore and how; knows nothing of runs.

    Attributes
    ----------
    image, method, quality, device, seed, samples, with_std, with_samples, with_interval, level, finish : widgets
        The choices; ``.value`` reads and sets them.
    strip : StripBox
    backend : BackendBox
    alignment : AlignmentBox
    run_button, run_all_button : QPushButton
    inspect_button, save_button : QPushButton
        Shown after a run.
    slice_progress : QProgressBar
        Over the slices of a run of several; ``progress`` is over the steps of one.
    estimate, advice : QLabel
        How long a run will take, and what speaks against it.
    """

    help: ClassVar[str]
    run_all_text: ClassVar[str] = "Run on all slices"
    run_all_tooltip: ClassVar[str] = "Restore every slice that is meant; the result is a new layer"
    usual_width = 360
    _told_of: Image | None = None  # what status and advice are about

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        chosen = preferences()
        qualities = [
            (name if part == 1 else f"{name} ({part:.2g} x the steps)", name) for name, part in QUALITIES.items()
        ]
        self.image = ComboBox(label="Image", choices=lambda _: self._layers(Image), tooltip="Its slice on show")
        self.method = ComboBox(label="Method", choices=list(_METHODS), tooltip=_METHOD_TOOLTIP)
        self.hint.setText(f"{self.hint.text()} {_NO_VI}")
        self._wanted = "map"  # the method, again, once a prior is chosen that has a density
        self.quality = ComboBox(label="Quality", choices=qualities, value=chosen.quality, tooltip=_QUALITY_TOOLTIP)
        self.device = ComboBox(
            label="Device", choices=["auto", "cpu", "cuda"], value=chosen.device, tooltip=DEVICE_TOOLTIP
        )
        self.seed = SpinBox(label="Seed", value=0, min=0, max=2**31 - 1, tooltip="Same seed, same result")
        self.samples = SpinBox(
            label="Samples", value=chosen.samples, min=2, max=1024, tooltip="Drawn from the posterior"
        )
        self.with_std = CheckBox(text="Standard deviation layer", value=False, tooltip=_STD_TOOLTIP)
        self.with_interval = CheckBox(text="Interval layers (low, high)", value=False, tooltip=_INTERVAL_TOOLTIP)
        self.level = FloatSlider(
            label="Level", value=chosen.level, min=0.5, max=0.99, step=0.01, tooltip=_LEVEL_TOOLTIP
        )
        self.level.native.setToolTip(_LEVEL_TOOLTIP)  # of the number beside the slider, too
        self.with_samples = CheckBox(text="Samples layer (a stack)", value=False, tooltip=_SAMPLES_TOOLTIP)
        self.finish = CheckBox(
            text="Samples with the texture of scans", value=True,
            tooltip="Where the prior has a network for it; mean, variance and intervals stay as they are",
        )  # fmt: skip
        self.strip, self.alignment, self.modality = StripBox(), AlignmentBox(), ModalityBox(self)
        self.backend = BackendBox()
        self.estimate, self.advice = wrapped(""), wrapped("", ADVICE)
        self.advice.hide()  # an empty one takes a line
        self._choose_active()
        self._lay_out()
        for choice in (self.image, self.method, self.quality, self.device, self.samples, self.backend):
            choice.changed.connect(self._on_cost)
        self.image.changed.connect(self.match_prior)
        self.image.changed.connect(self._on_image)
        self.viewer.dims.events.order.connect(self.match_prior)
        self.modality.changed.connect(self.match_prior)
        self.modality.looked.connect(self.match_prior)
        self._on_cost()
        self.refresh_priors()

    def inputs(self) -> Sequence[Widget | QWidget]:
        """Make the widgets between the image and the prior."""
        raise NotImplementedError

    def order(self, slices: Sequence[ObservedSlice], stack: Stack | None = None) -> Callable[[], Job]:
        """What gives the job of these slices, with the choices as they are now; it loads the prior, so in a thread."""
        name, quality, method, device = self.chosen_prior(), self.quality.value, self.method.value, self.device.value
        samples, seed, fit, given = self.samples.value, self.seed.value, *self.alignment.choices().values()
        finish = self.finish.value

        def job() -> Job:
            from napari_brgm.engine.alignment import Alignment
            from napari_brgm.zoo.registry import load_prior

            prior = load_prior(name)
            settings = settings_for(prior.info.preset, quality).but(finish=finish)
            return Job(
                slices=tuple(slices),
                prior=prior,
                settings=settings if fit else settings.but(fit_pose=False),
                method=method,
                samples=samples,
                seed=seed,
                device=device,
                alignment=None if given is None else Alignment.from_dict(given),
                stack=stack,
            )

        return job

    def extras(self) -> Extras:
        """Layers wanted besides the restored image and its variance."""
        level = float(self.level.value) if self.with_interval.value else 0.0
        return Extras(std=self.with_std.value, samples=self.with_samples.value, level=level)

    def chosen_image(self) -> Image:
        """Give the chosen image layer."""
        if self.image.value is None:
            raise InputError("there is no image to restore; open a scan first")
        return self.image.value

    def chosen_entry(self) -> PriorEntry | None:
        """Give the entry of the chosen prior; None while none is chosen."""
        return self._entries.get(self.prior.value or "")

    def work(self, slices: int = 1, stack: Stack | None = None) -> Work | None:
        """What a run on this many slices, or on a stack of them, would cost; None while nothing is chosen."""
        image, entry = self.image.value, self.chosen_entry()
        if image is None or image.rgb or entry is None:
            return None
        pixels = int(image.data.shape[-1] * image.data.shape[-2]) if image.ndim >= 2 else 0
        found = Work(
            prior=entry.name,
            side=entry.resolution,
            settings=settings_for(entry.preset or "default", self.quality.value),
            method=self.method.value,
            samples=self.samples.value,
            slices=slices,
            pixels=pixels,
            on_gpu=why_cpu(self.device.value) == "",
        )
        if stack is None or found.method != "map" or not knows_stacks(entry):
            return found
        return found.in_windows(stack)

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        self.image.reset_choices()
        if self.image.value is None:  # magicgui tells of no change to nothing
            self.match_prior()
            self._on_cost()
            self._on_image(None)

    def plane(self) -> tuple[str, tuple[float, float] | None, int]:
        """Plane in which the image would be restored, '' if unknown; pixel size in mm; pixels of the longer side."""
        try:
            rows, columns, spacing = shown_axes(image := self.chosen_image(), self.viewer.dims)
        except BrgmError:
            return "", None, 0
        return plane_of(image, rows, columns) or "", spacing, max(stored(image).shape[i] for i in (rows, columns))

    def match_prior(self, event: object = None) -> None:
        """Choose the prior that suits the image, unless the person has chosen one."""
        image = self.image.value
        said = "" if image is None else modality_of(image)
        self.modality.follow(image, said, self._entries)
        if image is None or self._chosen_by_hand:
            self.reason.hide()
            return
        try:
            check_restorable(image)
        except InputError as error:
            self._give_reason(f"{error}.", ADVICE)
            return
        plane, spacing, pixels = self.plane()
        known, how = said or self.modality.value, "is" if said else self.modality.how
        match = best_prior(self._entries, known, plane, spacing, how, pixels)
        if match is not None:
            unlike = "" if known else self.modality.unlike
            self._set_prior(match.prior)
            why = f"Chosen because {match.reason}. {unlike}".rstrip()
            self._give_reason(why, "font-style: italic;" if known else ADVICE)
        if not known and self.isVisible():
            self.modality.look(lambda: shown_slice(image, self.viewer.dims), self._entries)
        if self.modality.looking:
            self.reason.setText("Nothing says what the scan is: looking at the picture ...")

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the picture where nothing says what it is."""
        super().showEvent(event)
        self.match_prior()

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        self.modality.let_go()

    # slots

    def _on_image(self, image: Image | None) -> None:
        """What was said of another image is not said of this one."""
        if image is self._told_of or self.task is not None:
            return
        self._told_of = image
        self._say("")
        self.advice.setText("")
        self.advice.hide()

    def _on_priors(self) -> None:
        self.match_prior()
        self._on_cost()

    def _on_prior(self, name: str | None) -> None:
        """Offer VI with priors that have a density, and say why it is not offered with those that have none."""
        super()._on_prior(name)
        entry = self._entries.get(name or "")
        offered, dense = len(self.method.choices) > 1, entry is None or has_density(entry)
        if offered and not dense:
            self._wanted = self.method.value
            self.method.choices = [_MAP]
        elif dense and not offered:
            self.method.choices = list(_METHODS)
            self.method.value = self._wanted
        self.method.tooltip = _METHOD_TOOLTIP if dense else _NO_VI
        self.strip.follow(entry)
        self._on_cost()

    def _on_cost(self, event: object = None) -> None:
        """Say how long one slice will take, and why on the CPU."""
        if not is_loaded():
            self.estimate.setText("Loading the priors ...")
            return
        work = self.work()
        if work is None or self.backend.where:
            self.estimate.setText(self.backend.where)
            return
        reason = why_cpu(self.device.value)
        where = f"on the CPU: {reason}" if reason else "on the GPU"
        alone = " by itself" if self.looks_at_neighbours() else ""
        self.estimate.setText(f"A slice takes {in_words(estimated_seconds(work))}{alone} {where}.")

    def looks_at_neighbours(self) -> bool:
        """Whether a run on a slice looks at others too, and takes longer than on that slice by itself."""
        return False

    def _choose_active(self) -> None:
        active = self.viewer.layers.selection.active
        if active in self._layers(Image):
            self.image.value = active

    def _lay_out(self) -> None:
        layout = self.choices
        layout.addWidget(wrapped(self.help))
        prior, box = (self.prior, self.strip), self.prior.native
        if isinstance(box, QComboBox):  # as wide as what is left beside the check box
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout.addWidget(
            form(
                self.image,
                self.modality.choice,
                *self.inputs(),
                prior,
                self.reason,
                self.hint,
                self.method,
                self.quality,
            )
        )
        advanced = form(self.device, self.backend, self.backend.line, self.seed, self.samples)
        extras = form(self.with_std, self.with_interval, self.level, self.with_samples, self.finish)
        for title, content, tooltip in (
            ("Alignment with the prior", self.alignment, "Where the anatomy lies, and how bright it is"),
            ("Layers", extras, "What is added beside the restored image and its variance"),
            ("Advanced", advanced, "Device, backend, seed and number of samples"),
        ):
            self.folded(title, content, tooltip)
        layout.addStretch(1)
        self._lay_out_foot()

    def _lay_out_foot(self) -> None:
        self.run_button, self.run_all_button = QPushButton("Run on this slice"), QPushButton(self.run_all_text)
        self.run_button.setToolTip(with_key("Restore the slice on show; the result is a new layer", "run"))
        self.cancel_button.setToolTip(with_key(self.cancel_button.toolTip(), "cancel"))
        self.run_all_button.setToolTip(self.run_all_tooltip)
        self.foot.addLayout(row(self.run_button, self.run_all_button, self.cancel_button))
        self.slice_progress = QProgressBar()
        for bar, text in ((self.slice_progress, "slice %v of %m"), (self.progress, "step %v of %m")):
            bar.setFormat(text)
            self.foot.addWidget(bar)
        self.inspect_button, self.save_button = QPushButton("Inspect uncertainty"), QPushButton("Save with provenance")
        self.keep_button, self.here_button = QPushButton(), QPushButton("Go on here")
        for button, tooltip in (
            (self.inspect_button, "Read off how far to trust each pixel"),
            (self.save_button, "Write the layers of a run, and how they were computed"),
            (self.keep_button, "Add what was finished before the run ended"),
            (self.here_button, "Restore on this machine what did not come back"),
        ):
            button.setToolTip(tooltip)
            button.hide()  # until there is a result
        self.foot.addWidget(self.estimate)
        self.foot.addWidget(Messages(self.status, self.advice))
        self.foot.addLayout(row(self.here_button, self.keep_button))
        self.foot.addLayout(row(self.inspect_button, self.save_button))
        self.foot.addWidget(wrapped(LAYER_NOTICE, SAFETY))

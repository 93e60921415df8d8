"""What the Uncertainty widget shows: the run, the pixel under the cursor, samples, and maps."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

from napari_brgm.plugin.canvas.original import HOLD_KEY
from napari_brgm.plugin.forms import SAFETY, form, grouped, wrapped
from napari_brgm.plugin.layers.results import LAYER_NOTICE
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.panel import Panel
from napari_brgm.plugin.uncertainty.plot import LEGEND, UncertaintyPlot
from napari_brgm.plugin.uncertainty.region_box import RegionBox

__all__ = ["UncertaintyPanel"]

_HELP = f"Move the cursor over a restored slice to see how far to trust each pixel; hold {HOLD_KEY} for the original."
_BEFORE = f"While {HOLD_KEY} is held, the original stands in place of the result and everything that was made of it"
_PIN = "Keep this pixel while the cursor moves on; Shift-click on the image does the same"
_LARGE = "font-size: 13pt; font-weight: 600;"
_SPIN_WIDTH = 130  # pixels


class UncertaintyPanel(Panel):
    """Choices, readout and buttons; knows nothing of runs.

    Attributes
    ----------
    run_choice : ComboBox
        Its value is the key of a run.
    level_slider : QSlider
        Credible level in per cent.
    value, trust, place : QLabel
        What is said of the pixel: its value, its interval, and where it is.
    plot : UncertaintyPlot
    pin_button, play_button, hide_button : QPushButton
    sample_slider : QSlider
        Sample number, from 1.
    probability_box, contour_box : QCheckBox
    threshold, limit : QDoubleSpinBox
    regions : RegionBox
        Folded away.
    status : QLabel
    """

    usual_width = 370

    def __init__(self) -> None:
        super().__init__()
        self.run_choice = ComboBox(label="Result", choices=[], tooltip="The restoration to look at")
        self.level_slider, self.level_label = _slider(50, 99, 90), QLabel()
        self.value, self.trust, self.place = (_line(style) for style in (_LARGE, "", ""))
        self.plot = UncertaintyPlot()
        self.pin_button = QPushButton("Pin this pixel")
        self.pin_button.setCheckable(True)
        self.pin_button.setToolTip(_PIN)
        self.level_slider.setToolTip("How sure the interval is: the share of true values that it is to hold")
        self.sample_slider, self.sample_label = _slider(1, 1, 1), QLabel()
        self.play_button, self.hide_button = QPushButton("Play"), QPushButton("Hide")
        self.sample_slider.setToolTip("Show one sample over its slice")
        self.play_button.setToolTip("Go through the samples, five a second: what moves is not known")
        self.hide_button.setToolTip("Take the layer with the sample away")
        self.probability_box, self.threshold = QCheckBox("Probability above"), _spin()
        self.contour_box, self.limit = QCheckBox("Interval wider than"), _spin()
        self.probability_box.setToolTip(
            "A layer with the probability that the true value lies above this one, where something was restored; "
            "the tint of the variance is hidden as long"
        )
        self.contour_box.setToolTip(
            "A line round the regions where the credible interval is wider than this, averaged over a few pixels"
        )
        for box in (self.threshold, self.limit):
            box.setToolTip("In the units of the scan")
        self.regions = RegionBox()
        self.status = wrapped("")
        self._lay_out()

    def set_span(self, span: float, digits: int, units: str) -> None:
        """Make the numbers fit values that span so much."""
        for box in (self.threshold, self.limit):
            box.setDecimals(digits)
            box.setRange(-1e9, 1e9) if box is self.threshold else box.setRange(0, 1e9)
            box.setSingleStep(max(span / 100, 10.0**-digits))
            box.setSuffix(f" {units}" if units else "")

    def _lay_out(self) -> None:
        layout = self.choices
        told = wrapped(_HELP)
        told.setToolTip(_BEFORE)
        layout.addWidget(told)
        layout.addWidget(form(self.run_choice))
        level = _row(QLabel("Credible level"), self.level_slider, self.level_label)
        key = _line("")
        key.setTextFormat(Qt.TextFormat.RichText)  # ours, in colours
        key.setText(LEGEND)
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        pixel = (self.value, self.trust, self.place, self.plot, key, self.pin_button)
        layout.addWidget(grouped("Under the cursor", *pixel, level))
        samples = _row(self.sample_slider, self.sample_label)
        layout.addWidget(
            grouped("Samples: images that fit the data alike", samples, _row(self.play_button, self.hide_button))
        )
        maps = QGridLayout()
        for row, pair in enumerate(((self.probability_box, self.threshold), (self.contour_box, self.limit))):
            for column, widget in enumerate(pair):
                maps.addWidget(widget, row, column)
        maps.setColumnStretch(1, 1)
        layout.addWidget(grouped("Maps", maps))
        self.folded("Regions in numbers", self.regions, "Mean and volume of painted regions, with intervals")
        layout.addStretch(1)
        self.foot.addWidget(Messages(self.status))  # whether the intervals are calibrated: never out of sight
        self.foot.addWidget(wrapped(LAYER_NOTICE, SAFETY))


def _slider(low: int, high: int, value: int) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setValue(value)
    return slider


def _line(style: str) -> QLabel:
    """A line that stays where it is whatever it says."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setStyleSheet(style)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _spin() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setKeyboardTracking(False)  # not a map for each digit
    box.setMinimumWidth(_SPIN_WIDTH)
    return box


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if isinstance(widget, QSlider | QPushButton) else 0)
    return row

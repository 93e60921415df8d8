"""Weights widget: which priors there are, and fetching, importing, verifying and removing them.

What reads weights comes with torch, which is loaded while the dock is there already (torch_loading.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QSplitter

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.prior_panel import PriorPanel
from napari_brgm.plugin.torch_loading import is_loaded, load_torch
from napari_brgm.plugin.weights.card import CardView
from napari_brgm.plugin.weights.table import PriorTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.plugin.background import Tell
    from napari_brgm.zoo.entry import PriorEntry
    from napari_brgm.zoo.verify import Verdict

__all__ = ["WeightsWidget"]


class WeightsWidget(TaskWidget):
    """The priors and what can be done with them.

    Attributes
    ----------
    table : PriorTable
    card : CardView
        Of the chosen prior.
    fetch_button, import_button, verify_button, remove_button : QPushButton
    entries : dict
        What is on show, by name.
    """

    usual_width = 600  # pixels: wide enough for all columns
    _CANCELLED = "cancelled; a download goes on where it was when you fetch it again, what is installed can be used"

    def __init__(self) -> None:
        super().__init__()
        self._done: Callable[[Any], None] = self._show_installed
        self.entries: dict[str, PriorEntry] = {}
        self.table, self.card = PriorTable(), CardView()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._show_chosen)
        self.fetch_button.clicked.connect(lambda: self._guarded(self.fetch))
        self.import_button.clicked.connect(lambda: self._guarded(self.import_file))
        self.verify_button.clicked.connect(lambda: self._guarded(self.verify))
        self.remove_button.clicked.connect(lambda: self._guarded(self.remove))
        self._show_running(False)
        if not is_loaded():
            self._say("loading ...")
        load_torch(self, self._begin)

    def _begin(self) -> None:
        self._say("")
        self._guarded(self.refresh)
        self._show_running(False)

    def refresh(self) -> None:
        """Read the registry again."""
        from napari_brgm.zoo.registry import catalogue, status_of

        self.entries = {entry.name: entry for entry in catalogue()}
        self.table.fill([(entry, status_of(entry)) for entry in self.entries.values()])
        self._show_chosen()

    def fetch(self) -> None:
        """Download the chosen weights after the person agreed, convert and install them."""
        from napari_brgm.plugin.weights import dialogs
        from napari_brgm.zoo import fetch as fetching

        name = self._chosen()
        entry = fetching.fetchable(name)
        if dialogs.agrees_to_fetch(self, entry):
            self._start(
                f"fetching {name} ...", lambda tell: _prepared(fetching.fetch(name, agreed=True, progress=tell), tell)
            )

    def import_file(self) -> None:
        """Install a file that the person chooses."""
        from napari_brgm.plugin.weights import dialogs
        from napari_brgm.zoo.install import import_file

        path = dialogs.chosen_file(self)
        if path is None:
            return
        dialog = dialogs.ImportDialog(self, path)
        if not dialog.exec():
            return
        name, licence, source, citation = (
            field.text().strip() for field in (dialog.name, dialog.licence, dialog.source, dialog.citation)
        )
        dialog.deleteLater()

        def work(tell: Tell) -> PriorEntry:
            tell("converting", 0, None)
            return _prepared(import_file(path, name, licence=licence, source=source, citation=citation), tell)

        self._start(f"importing {path.name} ...", work)

    def verify(self) -> None:
        """Hash and load every prior that is here."""
        from napari_brgm.zoo.registry import status_of
        from napari_brgm.zoo.verify import verify

        total = sum(status_of(entry) in ("shipped", "installed", "missing") for entry in self.entries.values())

        def work(tell: Tell) -> list[Verdict]:
            verdicts: list[Verdict] = []
            tell("verifying", 0, total)
            for verdict in verify():
                verdicts.append(verdict)
                tell("verifying", len(verdicts), max(total, len(verdicts)))
            return verdicts

        self._start("verifying ...", work, self._show_verdicts)

    def remove(self) -> None:
        """Remove the chosen prior after the person agreed."""
        from napari_brgm.plugin.weights import dialogs
        from napari_brgm.zoo.install import check_removable, remove

        name = self._chosen()
        check_removable(name)
        if dialogs.agrees_to_remove(self, name):
            remove(name)
            self._changed()
            self._say(f"removed {name}")

    # the task

    def _start(self, sentence: str, work: Callable[[Tell], Any], done: Callable[[Any], None] | None = None) -> None:
        self._done = done or self._show_installed
        self._say(sentence)
        self._start_task(work, "the work on weights")

    def _on_report(self, report: tuple[Any, ...]) -> None:
        super()._on_report(report)
        what, done, total = report
        if what == "fetching":
            of = "" if total is None else f" of {total / 1e6:.1f}"
            self._say(f"fetching, {done / 1e6:.1f}{of} MB")
        elif what == "converting":
            self._say("converting to safetensors; no code in the file runs ...")
        elif what == "preparing":
            self._say(f"installed; fitting the straight line where restorations start, {done:,} of {total:,} images")

    def _on_result(self, result: Any) -> None:
        self._done(result)

    def _show_installed(self, entry: PriorEntry) -> None:
        self._changed()
        self.table.choose(entry.name)
        self._say(f"installed {entry.name}; it can be chosen as Prior now")

    def _show_verdicts(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self.table.set_status(verdict.name, "intact" if verdict.intact else "FAILED")
        failed = [verdict for verdict in verdicts if not verdict.intact]
        if failed:
            rest = f" ({len(failed)} of {len(verdicts)} failed)" if len(failed) > 1 else ""
            self._fail(f"{failed[0].name}: {failed[0].sentence}{rest}")
        else:
            self._say(f"verified: {len(verdicts)} on this machine, all intact")

    def _changed(self) -> None:
        """Follow a change of the registry here and in the other widgets, whichever window they are in."""
        self.refresh()
        for widget in QApplication.allWidgets():
            if isinstance(widget, PriorPanel):
                widget.refresh_priors()

    def _chosen(self) -> str:
        name = self.table.chosen()
        if name is None:
            raise BrgmError("choose a prior in the table first")
        return name

    # display

    def _show_chosen(self) -> None:
        name = self.table.chosen()
        entry = self.entries.get(name or "")
        if entry is None:
            return
        from napari_brgm.zoo.registry import status_of

        status = status_of(entry)
        self.card.show_entry(entry, status)
        self.fetch_button.setEnabled(self.task is None and status == "to fetch")
        self.remove_button.setEnabled(self.task is None and entry.kind == "installed")

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        for button in (self.import_button, self.verify_button, self.fetch_button, self.remove_button):
            button.setEnabled(not running and is_loaded())
        if not running:
            self._show_chosen()

    def _lay_out(self) -> None:
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.table)
        splitter.addWidget(self.card)
        splitter.setChildrenCollapsible(False)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        self.choices.addWidget(splitter, 1)
        row = QHBoxLayout()
        self.fetch_button, self.import_button = QPushButton("Fetch"), QPushButton("Import file...")
        self.verify_button, self.remove_button = QPushButton("Verify"), QPushButton("Remove")
        tips = (
            "Download the chosen published weights; you are asked first",
            "Install a .safetensors, .pkl or .pt file; no code in it runs",
            "Hash and load every prior that is on this machine",
            "Delete the chosen prior, if you installed it",
        )
        buttons = (self.fetch_button, self.import_button, self.verify_button, self.remove_button)
        for button, tip in zip(buttons, tips, strict=True):
            button.setToolTip(tip)
            row.addWidget(button)
        self.foot.addLayout(row)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))


def _prepared(entry: PriorEntry, tell: Tell) -> PriorEntry:
    """What was installed with its straight line, if that is fitted within a quarter of an hour."""
    from napari_brgm.engine.devices import pick_device
    from napari_brgm.zoo.prepare import LONGEST, Preparation, can_be_prepared

    if not can_be_prepared(entry):
        return entry
    with Preparation(entry.name, pick_device("auto")) as work:
        work.more()
        if work.seconds_left > LONGEST:
            return entry
        while work.done < work.total:
            tell("preparing", work.done, work.total)
            work.more()
        return work.finish()

"""Open from an archive: series are looked up, and those that a person chooses fetched and opened as layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, LineEdit
from qtpy.QtWidgets import QPushButton

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.archives.address_bar import AddressBar
from napari_brgm.plugin.archives.fetching import FetchedSeries, fetch_series
from napari_brgm.plugin.archives.series_table import SeriesTable
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.forms import form, wrapped
from napari_brgm.plugin.messages import Messages

if TYPE_CHECKING:
    import napari.viewer

    from napari_brgm.pacs.archive import FoundSeries

__all__ = ["PullWidget"]

_PLUGIN = "napari-brgm"
_HELP = "Look up a patient's series in an archive (PACS), choose some, and open them here."
_KEPT = "Where the files stay; empty: they are opened, and nothing is left on this machine"


class PullWidget(TaskWidget):
    """Finds and fetches.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    archive : AddressBar
    patient_id, accession, date, modality : LineEdit
        What is looked for; one of the first three is needed.
    find_button, fetch_button : QPushButton
    table : SeriesTable
    with_descriptions : CheckBox
    folder : FileEdit
        None: nothing is kept.
    """

    usual_width = 380
    _CANCELLED = "cancelled; nothing was opened or kept"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._asked: Any = None  # the address that the table is of
        self.archive, self.table = AddressBar(), SeriesTable()
        self.patient_id = LineEdit(label="Patient ID", tooltip="The patient's number; no wildcards")
        self.accession = LineEdit(label="Accession", tooltip="Accession number of the study")
        self.date = LineEdit(label="Study date", tooltip="20260131, or 20260101-20260131")
        self.modality = LineEdit(label="Modality", tooltip="MR, CT, CR, ...; empty: any")
        self.find_button, self.fetch_button = QPushButton("Find series"), QPushButton("Fetch and open")
        self.find_button.setToolTip("List the series that fit; nothing is fetched")
        self.fetch_button.setToolTip("Fetch the chosen series, whole, and open them as layers")
        self.with_descriptions = CheckBox(value=False, text="Show descriptions", tooltip="They name people sometimes")
        self.folder = FileEdit(
            label="Keep in", mode=FileDialogMode.EXISTING_DIRECTORY, tooltip=_KEPT, nullable=True, value=None
        )  # fmt: skip
        self.choices.addWidget(wrapped(_HELP))
        self.choices.addWidget(self.archive)
        fields = (self.patient_id, self.accession, self.date, self.modality)
        self.choices.addWidget(form(*fields, self.find_button))
        self.choices.addWidget(self.table, 1)
        self.choices.addWidget(form(self.with_descriptions, self.folder))
        self.foot.addWidget(self.fetch_button)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.with_descriptions.changed.connect(self.table.show_descriptions)
        self.archive.choice.changed.connect(lambda _: self._clear())
        self.table.itemSelectionChanged.connect(self._show_choices)
        self.find_button.clicked.connect(lambda: self.look_up())
        self.fetch_button.clicked.connect(lambda: self.fetch())
        for field in fields:
            field.native.returnPressed.connect(lambda: self.look_up())
        self._show_running(False)

    def look_up(self) -> None:
        """Look series up; what is wrong is said in one sentence."""
        self._guarded(self._find)

    def fetch(self) -> None:
        """Fetch and open what is chosen; what is wrong is said in one sentence."""
        self._guarded(self._fetch)

    def _find(self) -> None:
        from napari_brgm.pacs.archive import SeriesQuery
        from napari_brgm.pacs.opening import open_archive

        address = self.archive.address
        query = SeriesQuery(
            self.patient_id.value.strip(), self.accession.value.strip(), self.date.value.strip(),
            modality=self.modality.value.strip(),
        )  # fmt: skip
        self._clear()
        self._asked = address
        self._say(f"asking {address.name} ...")

        def work(tell: Any) -> list[FoundSeries]:
            found = open_archive(address).find(query)
            tell("found", 1, 1)  # an answer that nobody waits for any more is not shown
            return found

        self._start_task(work, "the search")

    def _fetch(self) -> None:
        chosen, address = self.table.chosen(), self._asked
        if not chosen or address is None:
            raise InputError("no series is chosen; find some and choose from the table")
        text = str(self.folder.value or "").strip()
        keep = None if not text or Path(text) == Path() else Path(text).expanduser()
        if keep is not None and keep.exists() and not keep.is_dir():
            raise InputError(f"{keep.name} is a file; choose a folder")
        self._say("fetching ...")
        self._start_task(lambda tell: fetch_series(address, chosen, keep, tell), "fetching")

    def _on_result(self, result: Any) -> None:
        if isinstance(result, FetchedSeries):
            self._open(result)
            return
        self.table.fill(result)
        count = "1 series" if len(result) == 1 else f"{len(result)} series"
        self._say(
            f"{count} found." if result else f"{self._asked.name} holds no such series; leave fields empty to see more."
        )

    def _open(self, fetched: FetchedSeries) -> None:
        """Open what came; files that are not kept go, whatever becomes of it."""
        try:
            opened = self.viewer.open(fetched.folder, plugin=_PLUGIN)
        except BrgmError as error:
            self._fail(error)
            return
        finally:
            fetched.forget()
        kept = f", kept in {fetched.folder}" if fetched.passing is None else "; no file of them is kept"
        count = "1 layer" if len(opened) == 1 else f"{len(opened)} layers"
        self._say(f"opened {count} from {self._asked.name}{kept}.")

    def _clear(self) -> None:
        """What was found in another archive is not offered."""
        self._asked = None
        self.table.fill([])
        self._show_choices()

    def _show_choices(self) -> None:
        self.fetch_button.setEnabled(self.task is None and bool(self.table.chosen()))

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        self.find_button.setEnabled(not running)
        self.archive.setEnabled(not running)
        self.fetch_button.setEnabled(not running and bool(self.table.chosen()))

"""What the widgets that restore have in common: Run and Cancel, progress, previews and results, one run at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from napari_brgm.engine.estimate import estimated_seconds, in_words, learn
from napari_brgm.errors import BackendError, Cancelled, InputError
from napari_brgm.plugin.docks import bring_up
from napari_brgm.plugin.layers.brains import brain_finder
from napari_brgm.plugin.layers.results import add_results
from napari_brgm.plugin.layers.shown import shown_slice, stored
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.restore.choices import ChoicesPanel
from napari_brgm.plugin.restore.keys import hear_keys
from napari_brgm.plugin.restore.matching import advice_for
from napari_brgm.plugin.restore.ongoing import Ongoing
from napari_brgm.plugin.restore.preview import Preview
from napari_brgm.plugin.restore.results_told import ResultsTold, Said
from napari_brgm.plugin.restore.run_order import RunOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.viewer
    from napari.layers import Image

    from napari_brgm.engine.job import Stack
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.plugin.background import BackgroundTask
    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.plugin.restore.preview import Part

__all__ = ["RestorationPanel"]

_TELL_SECONDS = 2.0  # a repaint draws the whole window again: one a step, or a busy bar, halved the speed on 2 cores


class RestorationPanel(ChoicesPanel):
    """Base of the widgets; a subclass names its task, adds its inputs and says what happened to which slices."""

    restores: ClassVar[str]
    _LETS_GO = True  # a restoration is nothing but memory until it is added
    _run: Ongoing | None = None
    _late: Ongoing | None = None  # a run that was cancelled, and has not ended yet
    _stopped: tuple[Ongoing, dict[int, Restoration]] | None = None  # a run that was cancelled, and what it had done
    _waiting: bool | None = None  # for what a look at the picture finds: a run everywhere, or on this slice
    _lost: tuple[Ongoing, RunOrder] | None = None  # a run whose server was lost, and what does the rest here

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.run_button.clicked.connect(lambda: self.run())
        self.run_all_button.clicked.connect(lambda: self.run(everywhere=True))
        self.inspect_button.clicked.connect(lambda: bring_up(self.viewer, "Uncertainty"))
        self.save_button.clicked.connect(lambda: bring_up(self.viewer, "Save with provenance"))
        self.keep_button.clicked.connect(lambda: self._guarded(self.keep_finished))
        self.here_button.clicked.connect(lambda: self._guarded(self.go_on_here))
        self.modality.looked.connect(self._on_looked)
        self._told = ResultsTold(self.viewer, self)
        hear_keys(self.viewer, self)
        self._show_running(False)

    @property
    def worker(self) -> BackgroundTask | None:
        """The run in progress."""
        return self.task

    def parts(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        """Say what happened to the slice on show, or to all slices that are meant.

        Raises
        ------
        BrgmError
            The inputs cannot be used.
        """
        raise NotImplementedError

    def stack(self, image: Image, parts: Sequence[Part], shown: ShownSlice) -> Stack | None:
        """How the slices lie to each other, where they are to be restored together."""
        return None

    def check(self, parts: Sequence[Part], stack: Stack | None) -> None:
        """Say now what the run would refuse only after it has loaded the prior.

        Raises
        ------
        InputError
            Nothing of it can be restored.
        """
        if self.strip.wanted:  # of a head the prior sees the brain alone
            return
        refused = [part.refused(flat=stack is not None) for part in parts]
        if refused and refused[0] is not None and all(refused):
            raise refused[0]

    def run(self, *, everywhere: bool = False) -> None:
        """Restore the slice on show, or all that are meant; what is wrong is said in one sentence.

        While the picture is looked at, to find out what it is, the run waits: its prior hangs on that.
        """
        self._stop_waiting()
        if self.modality.looking and not self._chosen_by_hand and self.task is None:
            self._waiting = everywhere
            self.cancel_button.setEnabled(True)
            self._say("looking at the picture first, to choose the prior ...")
            return
        self._guarded(lambda: self._begin(everywhere))

    def cancel(self) -> None:
        """Stop what is under way, or waits."""
        if self._waiting is not None:
            self._stop_waiting()
            self._say(self._CANCELLED)
        super().cancel()

    def _stop_waiting(self) -> None:
        self._waiting = None
        self.cancel_button.setEnabled(self.task is not None)

    def _on_looked(self) -> None:
        if self._waiting is not None:
            self.run(everywhere=self._waiting)

    def _on_image(self, image: Image | None) -> None:
        if image is not self._told_of:
            self._stop_waiting()
            super()._on_image(image)
            if self.task is None:
                self.offer_result(self._told.newest)

    def on_key_run(self) -> None:
        """Restore the slice on show."""
        self.run()

    def on_key_cancel(self) -> None:
        """Stop what is under way."""
        self.cancel()

    def _begin(self, everywhere: bool) -> None:
        address = self.backend.address(self)
        if address is None:
            self._say("nothing was sent; empty Backend to restore on this machine")
            return
        image = self.chosen_image()
        shown = shown_slice(image, self.viewer.dims)
        parts = self.parts(image, shown, everywhere)
        stack = None if self.strip.wanted else self.stack(image, parts, shown)  # neighbours have their skulls on
        self.check(parts, stack)
        observed = list(dict.fromkeys(part.observed for part in parts))
        work, entry = self.work(len(parts), stack), self.chosen_entry()
        assert work is not None and entry is not None  # an image and a prior are chosen
        find = brain_finder(image, [(part.shown, part.missing) for part in parts]) if self.strip.wanted else None
        order = RunOrder(self.order(observed, stack), parts, find, entry.name, address)
        warnings = advice_for(image, parts, entry)
        self._show_advice(warnings)
        self._launch(Ongoing(image, parts, self.extras(), entry, work, order, stored(image).shape, warnings))

    def _launch(self, run: Ongoing) -> None:
        if preferences().preview:
            run.preview = Preview(self.viewer, run.image, run.parts, run.previews)
        self._run = run
        self._offer_finished(None)
        self._offer_here(None)
        slices = "one slice" if len(run.parts) == 1 else f"{len(run.parts)} slices"
        first = "loading the prior" if run.order.find is None else "finding the brain"
        where = f"on {run.order.address}" if run.order.address else in_words(estimated_seconds(run.work))
        self._say(f"{slices}, {where}; {first} ...")
        # paint now: the tag's letters, drawn for the first time, would hold up the window in the run
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)

        def restored(tell: Callable[..., None]) -> list[Restoration | InputError]:
            def told(step: Step) -> None:
                run.previews.tell(step)
                tell(step)

            return run.order.restored(told)

        self._start_task(restored, "the restoration")

    # the task

    def _on_report(self, report: tuple[Any, ...]) -> None:
        step: Step = report[0]
        run, now = self._run, time.monotonic()
        ends = step.iteration == step.total and run is not None and run.last != (step.slice, step.iteration)
        if run is None or (now - run.told < _TELL_SECONDS and not ends):
            return
        run.told, run.last, run.done = now, (step.slice, step.iteration), step.done
        self._show_bars(step)
        self._say(run.in_words(step, now))
        if run.preview is not None:
            run.preview.look()

    def _show_bars(self, step: Step) -> None:
        self.progress.setRange(0, step.total)
        self.progress.setValue(step.iteration)
        bar, parts = self.slice_progress, step.slices if step.together == 1 else 100
        bar.setFormat("slice %v of %m" if step.together == 1 else f"%p % of {step.slices} slices")
        bar.setRange(0, parts)
        bar.setValue(int(step.done * parts + 1e-6))

    def _share(self) -> float:
        return 0.0 if self._run is None else self._run.done

    def _on_result(self, results: list[Restoration | InputError]) -> None:
        self._clear_preview()
        run = self._run
        if run is None or self.task is None or self.task.cancelled:
            return self._on_error(Cancelled("cancelled"))
        if stored(run.image).shape != run.shape:
            return self._fail(f"the pixels of '{run.image.name}' were replaced during the run; run again")
        pairs = zip(run.parts, results, strict=True)
        told = [(part.shown, r) for part, r in pairs if part.wanted]
        done = [(shown, r) for shown, r in told if not isinstance(r, InputError)]
        failed = [r for _, r in told if isinstance(r, InputError)]
        if not done:
            return self._on_error(failed[0])
        layers = self._added(run, done)
        seconds = time.monotonic() - run.began
        if not run.order.address and not run.order.done:
            learn(run.work, seconds)
        self._on_cost()
        if run.image is self.image.value:
            self.alignment.show_used(done[0][1].provenance.get("alignment"))
        where = "the tint over it" if layers[-1].visible else "the hidden layer over it"
        text = f"added '{layers[0].name}' after {seconds:.0f} s; its variance is {where}"
        self._told.add(layers[0], Said(text, ref(run.image), run.image.name, [*run.warnings, *run.notes(told)]))

    def say_of_result(self, said: Said) -> None:
        """Say it of a result; of which image, where another one is chosen by now."""
        self.offer_result(said)
        if said.source() is not self.image.value:
            self._show_advice([f"of '{said.name}': {note}" for note in said.notes])
        self._say(said.text)

    def say_no_more(self) -> None:
        """Say no more of a result that was taken back or deleted."""
        self._say("")
        self.offer_result(None)

    def offer_result(self, said: Said | None) -> None:
        """Offer to look at a result, and to save it; what speaks against it stays in sight with its image."""
        self._show_advice(said.notes if said is not None and said.source() is self.image.value else [])
        for button in (self.inspect_button, self.save_button):
            button.setVisible(said is not None)

    def _added(self, run: Ongoing, done: list[tuple[ShownSlice, Restoration]]) -> list[Image]:
        scan = run.image.metadata.get("scan")
        units = str(scan.get("units", "a.u.")) if isinstance(scan, dict) else "a.u."
        return add_results(self.viewer, run.image, done, self.restores, run.extras, units)

    def _on_error(self, error: Exception) -> None:
        super()._on_error(error)
        if self._run is None or not isinstance(error, Cancelled | BackendError):
            return
        self._offer_finished_of(self._run, error)
        if isinstance(error, BackendError):
            self._offer_here(replace(self._run.order, address="", done=error.finished))

    def _let_go(self, task: BackgroundTask) -> None:
        self._late = self._run
        super()._let_go(task)

    def _on_late_end(self, error: Exception) -> None:
        super()._on_late_end(error)
        run, self._late = self._late, None
        if run is not None and self._run is None and isinstance(error, Cancelled):
            self._offer_finished_of(run, error)

    def _offer_finished_of(self, run: Ongoing, error: Cancelled | BackendError) -> None:
        own = {i: found for i, found in error.finished.items() if run.parts[i].wanted}
        if own:
            self._offer_finished((run, own))
        if own and isinstance(error, Cancelled):
            self._say(f"{self._CANCELLED}; {len(own)} of {len(run.parts)} slices are finished")

    def _offer_finished(self, stopped: tuple[Ongoing, dict[int, Restoration]] | None) -> None:
        """Offer what a cancelled run had finished, until the next one."""
        self._stopped = stopped
        count = 0 if stopped is None else len(stopped[1])
        self.keep_button.setText("Keep the finished slice" if count == 1 else f"Keep the {count} finished slices")
        self.keep_button.setVisible(count > 0)

    def _offer_here(self, order: RunOrder | None) -> None:
        """Offer to do on this machine what a lost server did not, until the next run."""
        lost = self._run
        self._lost = None if order is None or lost is None else (lost, order)
        self.here_button.setVisible(self._lost is not None)

    def go_on_here(self) -> None:
        """Restore on this machine what did not come back, with the choices of then."""
        if self._lost is None:
            return
        run, order = self._lost
        if run.image not in self.viewer.layers:
            raise InputError(f"'{run.image.name}' is no longer open; open it and run again")
        self._launch(Ongoing(run.image, run.parts, run.extras, run.entry, run.work, order, run.shape, run.warnings))

    def keep_finished(self) -> None:
        """Add what the cancelled run had finished, as the layers of a run of these slices alone."""
        if self._stopped is None:
            return
        run, finished = self._stopped
        self._offer_finished(None)
        if run.image not in self.viewer.layers:
            raise InputError(f"'{run.image.name}' is no longer open; open it and run again")
        layers = self._added(run, [(run.parts[i].shown, found) for i, found in finished.items()])
        left = len(run.parts) - len(finished)
        text = f"added '{layers[0].name}'; {left} slices were left as they are"
        self._told.add(layers[0], Said(text, ref(run.image), run.image.name, run.warnings))

    def _on_finish(self) -> None:
        self._clear_preview()
        self._run = None
        super()._on_finish()
        if not self._told.speaks:
            self.offer_result(self._told.newest)  # of another run than this, or none

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        self._told.let_go()
        self._clear_preview()

    def _show_advice(self, sentences: list[str]) -> None:
        """Show what speaks against a run, or what a finished one found."""
        self.advice.setText("\n".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences))
        self.advice.setVisible(bool(sentences))

    def _clear_preview(self) -> None:
        if self._run is not None and self._run.preview is not None:
            self._run.preview.remove()
            self._run.preview = None

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        self.progress.setRange(0, 1)  # its text counts steps
        self.cancel_button.show()
        self.run_button.setEnabled(not running)
        self.run_all_button.setEnabled(not running)
        slices = len(self._run.parts) if running and self._run is not None else 1
        self.slice_progress.setVisible(slices > 1)
        self.slice_progress.setRange(0, slices)
        self.slice_progress.setValue(0)

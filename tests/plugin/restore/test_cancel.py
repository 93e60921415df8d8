"""Cancel while samples are drawn and finished, with the prior that ships; run with ``-s`` to see how long it takes."""

from __future__ import annotations

import threading
import time
from importlib import import_module

from napari_brgm.likelihood import to_grey

PATIENCE = 120_000  # ms
LOOKS = 4  # at whether to go on, since the first draw


def test_while_samples_are_drawn(window, brain_prior, qtbot, click, monkeypatch) -> None:
    """Nothing is added, and Run may be pressed again."""
    run_of = import_module("napari_brgm.engine.run")
    engine, reached, phases = run_of.run, threading.Event(), []

    def watched(job, tell):
        def told(step):
            phases.append(step.phase)
            tell(step)
            if phases.count("samples") == LOOKS:
                reached.set()

        return engine(job, told)

    monkeypatch.setattr(run_of, "run", watched)
    viewer, widget = window("In-paint")
    data = to_grey(brain_prior.sample(1, seed=3))[0, 0].clamp(0, 255).numpy()
    viewer.add_image(data, name="slice", scale=(1.5, 1.5), units=("mm", "mm"))
    widget.prior.value, widget.device.value, widget.samples.value = brain_prior.info.name, "cpu", 64
    widget.quality.value = "preview"
    widget.paint()
    widget.labels.value.data[40:80, 40:80] = 1
    before = list(viewer.layers)
    click(widget.run_button)
    qtbot.waitUntil(reached.is_set, timeout=PATIENCE)
    told, began, computed = len(phases), time.perf_counter(), time.process_time()
    click(widget.cancel_button)
    assert widget.status.text() == "Cancelling ..."
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    seconds, cpu = time.perf_counter() - began, time.process_time() - computed
    print(f"cancelled after {1000 * seconds:4.0f} ms ({1000 * cpu:4.0f} of CPU) while samples were drawn")
    assert phases[told - 1] == "samples" and len(phases) - told <= 1
    assert widget.status.text() == "Cancelled; nothing was changed"
    assert list(viewer.layers) == before
    assert widget.run_button.isEnabled() and not widget.cancel_button.isEnabled()

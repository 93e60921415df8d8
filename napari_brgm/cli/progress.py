"""Progress on stderr. A bar appears with the first step, so that where input is refused the sentence stands alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING

from napari_brgm.engine.estimate import in_words
from napari_brgm.text import plain_text, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress, ProgressColumn

    from napari_brgm.batch.run import BatchState
    from napari_brgm.inference.step import Step

__all__ = ["batch_bar", "count_bar", "slice_bar", "telling", "training_bar"]

_LISTENER: ContextVar[Callable[[Step], None] | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Callable[[Step], None]) -> Iterator[None]:
    """Tell steps of slices to a callable, in place of bars."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def slice_bar(titles: Sequence[str]) -> Iterator[Callable[[Step], None]]:
    """Show a bar with the loss of the slice that is worked on, and how many are done; call what it gives with steps."""
    listener = _LISTENER.get()
    if listener is not None:
        yield listener
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    loss = TextColumn("loss {task.fields[loss]}", markup=False)
    with _bar(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), loss, TimeElapsedColumn()
    ) as bar:
        task = bar.add_task(titles[0], total=None, loss="-")

        def tell(step: Step) -> None:
            bar.start()
            number = f" ({step.slice + 1} of {step.slices})" if step.slices > 1 else ""
            bar.update(
                task, description=sentence(titles[step.slice]) + number, completed=step.iteration, total=step.total
            )
            if isfinite(step.loss):  # a step without an objective keeps the last one on show
                bar.update(task, loss=f"{step.loss:.5g}")

        yield tell


@contextmanager
def count_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar; call what it gives with (done, in all, what comes next)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    with _bar(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    ) as bar:
        task = bar.add_task("", total=None)

        def tell(done: int, total: int, text: str) -> None:
            bar.start()
            bar.update(task, completed=done, total=total, description=sentence(text))

        yield tell


@contextmanager
def batch_bar() -> Iterator[Callable[[BatchState, object], None]]:
    """Show one bar for all rows of a batch, with the time that is left; call what it gives with the state."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    with _bar(BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), text) as bar:
        task = bar.add_task("", total=1.0)

        def tell(state: BatchState, entry: object) -> None:
            if entry is None and not state.shares and state.share < 1:
                return  # nothing has begun, and may be refused
            bar.start()
            left = state.left
            ahead = "" if left is None or state.share >= 1 else f", {in_words(left)} left"
            bar.update(task, completed=state.share, description=f"{len(state.entries)} of {state.total} scans{ahead}")

        yield tell


@contextmanager
def training_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Show a bar under lines of text; gives what prints a line, and what is called with (slices shown, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("slices shown"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _bar(*columns) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int) -> None:
            bar.start()
            bar.update(task, completed=done, total=total)

        yield lambda line: bar.console.print(plain_text(line), markup=False, highlight=False, soft_wrap=True), progress


@contextmanager
def _bar(*columns: ProgressColumn) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(*columns, console=Console(stderr=True))
    try:
        yield bar
    finally:
        if bar.live.is_started:
            bar.stop()

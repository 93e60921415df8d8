"""The benchmark as tables for the terminal, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["show"]

_PART_TITLES = {
    "map": "MAP", "vi": "VI", "laplace": "Laplace", "draws": "draws", "forward": "w -> image",
    "step": "image and gradient",
}  # fmt: skip


def show(timings: dict[str, Any]) -> None:
    """Print what was timed, with the machine in the titles."""
    from rich.console import Console

    console = Console()
    parts = timings["machine"]
    place = parts.get("gpu", f"{parts['cores']} cores, {parts['threads']} threads")
    machine = f"{parts['processor']}, {place}, torch {parts['torch']}"
    if "restorations" in timings or "generator_256" in timings:
        console.print(_whole(timings, machine))
    if "reach" in timings:
        console.print(_reach(timings, machine))
    if "grid" in timings:
        console.print(_grid(timings["grid"], machine))
    if "memory" in timings:
        console.print(_memory(timings, machine))
    if "targets" in timings:
        console.print(_targets(timings["targets"], machine))


def _made(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _whole(timings: dict[str, Any], machine: str) -> Table:
    table = _made(f"{machine}: median of {timings['repeats']}", "what", "seconds", "reference")
    for name, seconds in timings.get("restorations", {}).items():
        what = f"{name}, {timings['prior']} at {timings['resolution']}, {timings['steps']} steps"
        table.add_row(what, f"{seconds:.2f}", "")
    for name, seconds in timings.get("generator_256", {}).items():
        title = f"StyleGAN2 at 256, {name.replace('_', ' + ')}"
        table.add_row(title, f"{seconds:.2f}", f"{timings['reference_256'][name]:.2f}")
    return table


def _reach(timings: dict[str, Any], machine: str) -> Table:
    from napari_brgm.evaluation.reach import SLACK

    title = (
        f"{machine}, {timings['prior']}: seconds until the loss is within {SLACK:.1%} of what "
        f"{timings['reference_steps']} steps of Adam at their best constant rate reach, from the same start"
    )
    table = _made(title, "task", "rate", "loss", "seconds", "our loss", "steps", "reached", "share")
    for row in timings["reach"]:
        share, after = row["share"], row["reached_seconds"]
        table.add_row(
            row["task"], f"{row['reference_rate']:g}", f"{row['reference_loss']:.2f}",
            f"{row['reference_seconds']:.2f}", f"{row['loss']:.2f}", str(row["steps"]),
            "never" if after is None else f"{after:.2f}", "-" if share is None else f"{share:.3f}",
        )  # fmt: skip
    return table


def _grid(grid: dict[str, Any], machine: str) -> Table:
    reached = max(grid["peak"].values())
    settings = grid["made_by"]["grid"]
    how = settings["precision"] + ", compiled" * settings["compiled"] + ", CPU time" * settings["busy"]
    title = (
        f"{machine}, {how}: random weights; floor: "
        f"FLOP at {reached / 1e9:,.0f} GFLOP/s; MAP and VI of {settings['steps']} steps ({settings['vi_samples']} "
        f"samples a step), {settings['samples']} draws"
    )
    table = _made(title, "network", "what", "GFLOP", "seconds", "floor", "gap", "steps timed")
    for cell in grid["cells"].values():
        network = f"{cell['resolution']} px, config-{cell['config']}, batch {cell['batch']}"
        for name, job in cell["jobs"].items():
            floor, timed = job["flop"] / reached, job["timed_steps"]
            table.add_row(
                network, _PART_TITLES[name], f"{job['flop'] / 1e9:,.1f}", f"{job['seconds']:.3g}", f"{floor:.3g}",
                f"{job['seconds'] / floor:.1f}", "" if timed is None else str(timed) if timed else "from draws",
            )  # fmt: skip
            network = ""
    for name in grid["left"]:
        table.add_row(name, "left out", "", "", "", "", "")
    return table


def _memory(timings: dict[str, Any], machine: str) -> Table:
    title = f"{machine}, {timings['prior']}, {timings['samples']} samples: peak memory over what torch itself takes"
    table = _made(title, "task", "side", "result", "GB", "estimated", "seconds", "of the processor")
    for row in timings["memory"]:
        result = row["side"] * (4 if row["task"] == "x4" else 1)
        table.add_row(
            row["task"], f"{row['side']:,}", f"{result:,}", f"{row['peak']:.2f}", f"{row['need']:.2f}",
            f"{row['seconds']:.1f}", f"{row['busy']:.1f}",
        )  # fmt: skip
    return table


def _targets(targets: list[dict[str, Any]], machine: str) -> Table:
    table = _made(f"{machine}: targets", "what", "seconds", "at most", "")
    for row in targets:
        seconds = row["seconds"]
        word = row["why"] if seconds is None else "met" if seconds <= row["limit"] else "missed"
        table.add_row(row["what"], "-" if seconds is None else f"{seconds:.2f}", f"{row['limit']:g}", word)
    return table

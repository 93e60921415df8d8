"""``napari-brgm evaluate`` and its tables: thin over the evaluation package."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.choose import choose
from napari_brgm.cli.downstream import downstream
from napari_brgm.cli.evaluate_grid import Processes, grid, usual_processes
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.posterior_checks import agreement, analytic, bounds, calibration, sbc, tarp
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.cli.train_rivals import train_rivals

__all__ = ["evaluate"]

evaluate = typer.Typer(
    epilog="Examples:\n\nnapari-brgm evaluate --quick --data data --out table\n\n"
    "napari-brgm evaluate priors --priors brain-axial-128,runs/new.safetensors --data data --out priors"
)


evaluate.callback(invoke_without_command=True)(grid)


@evaluate.command(
    epilog="Examples:\n\nnapari-brgm evaluate priors --data data --out priors\n\n"
    "napari-brgm evaluate priors --priors brain-axial-128,runs/new.safetensors --data data --out priors --slices 4"
)
def priors(
    out: options.Out,
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[
        int | None,
        typer.Option(help="Held-out images of each set, evenly spaced.", show_default="12, minutes a prior at 128"),
    ] = None,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 16,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    processes: Processes = None,
) -> None:
    """Measure priors on the validation subjects of their own sets, beside the linear-Gaussian rival, in one table.

    Reconstruction in W+ and W, seven masks, super-resolution x2, x4, x8, and samples. Writes results.json, results.md
    and a contact sheet for each prior. A run that was stopped goes on where it was; a new prior costs only its own
    figures when the folder is the same.
    """
    run = options.InferenceOptions.of(options.DEFAULT_PRIOR, method, steps, samples, seed, device, preset)
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation import priors as table
    from napari_brgm.settings import preset as named_preset
    from napari_brgm.zoo.registry import registered

    how = table.HowToInfer(
        method=method.value,
        settings=None if preset == options.AUTO else named_preset(preset),  # None: each prior gets those that suit it
        samples=run.samples, seed=run.seed, device=run.device, steps=run.steps,
    )  # fmt: skip
    chosen = tuple(registered()) if priors is None else names(priors)
    count = table.DEFAULT_SLICES if slices is None else slices
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        table.run(data_folder(data), out, chosen, count, tell, how=how, processes=usual_processes(processes))
    say_path(out / "results.md")


@evaluate.command(epilog="Example:\n\nnapari-brgm evaluate misfit --priors brain-axial-128 --data data")
def misfit(
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[int, typer.Option(help="Held-out images of each set, evenly spaced.")] = 40,
) -> None:
    """Measure how far priors stay from the measured pixels of held-out slices.

    Prints the limit above which a scan is told to be unlike what the prior knows and, as a check, which share of each
    half of the subjects stays below the limit of the other half. The registry keeps the limit as "misfit_limit".
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.evaluation.misfit import held_out_misfits
    from napari_brgm.zoo.registry import load_prior, registered

    for name in sorted(registered()) if priors is None else names(priors):
        prior = load_prior(name)
        with count_bar() as tell:
            found = held_out_misfits(prior, data_folder(data), slices, tell)
        low, middle, high = found.spread
        say(
            f"{name}: limit {found.limit:.3f}; {found.quiet:.0%} stay below that of the other half of the subjects; "
            f"from {low:.3f} to {high:.3f}, median {middle:.3f}"
        )


@evaluate.command(epilog="Example:\n\nnapari-brgm evaluate suspects --priors brain-axial-128 --data data")
def suspects(
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[int, typer.Option(help="Held-out images of each set, evenly spaced.")] = 20,
    seed: options.Seed = 0,
) -> None:
    """Measure what priors cannot explain of held-out slices, and how much of simulated artefacts is found by it.

    The registry keeps the limit as "suspect_limit".
    """
    from dataclasses import replace

    from napari_brgm.cli.progress import count_bar
    from napari_brgm.evaluation.suspects import ARTEFACTS, found_artefacts, held_out_limit
    from napari_brgm.zoo.registry import load_prior, registered

    for name in sorted(registered()) if priors is None else names(priors):
        prior = load_prior(name)
        with count_bar() as tell:
            limit = held_out_limit(prior, data_folder(data), slices, tell)
        say(f"{name}: limit {limit:.2f}")
        prior.info = replace(prior.info, suspect_limit=limit)
        for kind in ARTEFACTS:
            with count_bar() as tell:
                found = found_artefacts(prior, data_folder(data), slices, kind, seed, tell)
            say(
                f"    {kind}: {found.found.mean():.0%} of it found (at least {found.found.min():.0%}); "
                f"{found.clean.mean():.1%} of clean tissue marked"
            )


@evaluate.command(epilog="Example:\n\nnapari-brgm evaluate detail --priors brain-axial-128 --data data")
def detail(
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[int, typer.Option(help="Held-out images of each set, evenly spaced.")] = 20,
    samples: options.SampleCount = 8,
    seed: options.Seed = 0,
) -> None:
    """Measure whether holes can be found by their grain, in samples on scans finer than the frame of a prior.

    High-pass energy of samples inside strokes over that of the ring round them: 1 where nothing gives the hole away.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.evaluation.detail import native_grain
    from napari_brgm.zoo.registry import load_prior, registered

    for name in sorted(registered()) if priors is None else names(priors):
        prior = load_prior(name)
        with count_bar() as tell:
            found = native_grain(prior, data_folder(data), slices, samples, seed, tell)
        scans = "scans enlarged four times with simulated grain" if found.simulated else "scans"
        say(
            f"{name}, {slices} {scans}: samples {found.samples.mean():.2f} (median {found.middle(found.samples):.2f}), "
            f"{found.within(found.samples):.0%} within 15 %; what was hidden {found.truth.mean():.2f} "
            f"(median {found.middle(found.truth):.2f}), {found.within(found.truth):.0%}; 90 % intervals held "
            f"{found.covered.mean():.1%}; RMSE {found.rmse.mean():.1f} grey levels"
        )


@evaluate.command(epilog="Example:\n\nnapari-brgm evaluate finish --data data --out finish")
def finish(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    data: options.Data = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="Comma-separated: mask-0 to mask-6, x2, x4, x8.", show_default="all"),
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="Held-out slices of each task, evenly spaced.")] = 12,
    draws: Annotated[int, typer.Option(min=16, help="Of the prior, against as many held-out slices.")] = 320,
    samples: Annotated[int, typer.Option(min=4, help="Of each slice.")] = 32,
    seed: options.Seed = 0,
) -> None:
    """Measure what the texture that samples are finished with is worth: draws of the prior, and posterior draws.

    Writes finish.jsonl and finish.md. A run that was stopped goes on where it was when the command is given again.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.finish import FINISH_TASKS, FinishStudy
    from napari_brgm.zoo.registry import load_prior

    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        study = FinishStudy(load_prior(prior), data_folder(data), out, slices, draws, samples, seed)
        study.run(FINISH_TASKS if tasks is None else names(tasks), tell)
        drawn = study.draws()
        (out / "finish.md").write_text(study.table(study.textures(drawn), study.nearest(drawn)))
    say_path(out / "finish.md")


@evaluate.command(epilog="Example:\n\nnapari-brgm evaluate volumes --data data --out volumes")
def volumes(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    data: options.Data = None,
    subjects: Annotated[int, typer.Option(min=1, help="Validation subjects, evenly spaced.")] = 6,
    tasks: Annotated[
        str, typer.Option(help="Comma-separated: hole-1, -3, -5, -9 (slices hidden), thick-3, -5, -8 (mm).")
    ] = "hole-1,hole-3,hole-5,hole-9,thick-3,thick-5,thick-8",
    every: Annotated[str, typer.Option(help="Of holes: every so many slices was measured; comma-separated.")] = "1,2,3",
    masks: Annotated[
        int, typer.Option(min=1, max=8, help="Masks of each subject, in turn: the paper's seven, brush strokes.")
    ] = 8,
    alone: Annotated[bool, typer.Option("--alone", help="Restore each slice by itself, too.")] = False,
    samples: Annotated[int, typer.Option(min=0, help="Of each stack; 0: no intervals, jumps and factors.")] = 32,
    seed: options.Seed = 0,
) -> None:
    """Measure holes in stacks and thick slices, beside straight lines and splines between the slices.

    Writes volumes.jsonl, volumes.md and, with samples, calibration.json for the prior's card. A run that was stopped
    goes on where it was when the command is given again.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.held_out import evenly_spaced
    from napari_brgm.evaluation.volume_cases import cases_of
    from napari_brgm.evaluation.volumes import VolumeStudy
    from napari_brgm.zoo.registry import load_prior

    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        study = VolumeStudy(load_prior(prior), data_folder(data), out, samples, seed, alone=alone)
        chosen = evenly_spaced(len(study.stacks), subjects)
        study.run(cases_of(names(tasks), [int(step) for step in names(every)], chosen, masks), tell)
        (out / "volumes.md").write_text(study.table())
        if samples:
            (out / "calibration.json").write_text(json.dumps(study.calibration().to_dict(), indent=2))
    say_path(out / "volumes.md")


evaluate.command(
    epilog="Example:\n\nnapari-brgm evaluate calibration --priors brain-axial-128 --data data --out calibration"
)(calibration)

evaluate.command(epilog="Example:\n\nnapari-brgm evaluate agreement --sigmas 5,15")(agreement)
evaluate.command(epilog="Example:\n\nnapari-brgm evaluate sbc --prior toy --simulations 100 --out sbc")(sbc)
evaluate.command(epilog="Example:\n\nnapari-brgm evaluate tarp --data data --out posterior")(tarp)
evaluate.command(epilog="Example:\n\nnapari-brgm evaluate bounds --data data --out posterior")(bounds)
evaluate.command(epilog="Example:\n\nnapari-brgm evaluate analytic --out analytic")(analytic)
evaluate.command(
    epilog="Example:\n\nnapari-brgm evaluate train-rivals --minutes 25 --nets inpaint-pixel --data data --out rivals"
)(train_rivals)
evaluate.command(
    epilog="Examples:\n\nnapari-brgm evaluate choose --reader reader-1 --data data --out people\n\n"
    "napari-brgm evaluate choose --reader reader-2 --kind real --from cases --out people\n\n"
    "napari-brgm evaluate choose --report --out people"
)(choose)
evaluate.command(
    epilog="Examples:\n\nnapari-brgm evaluate downstream --data data --out downstream\n\n"
    "napari-brgm evaluate downstream --prior chest-xray-256 --tasks mask-0,x4 --slices 24 --data data --out lungs"
)(downstream)

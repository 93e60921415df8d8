"""``evaluate calibration``, ``agreement``, ``sbc``, ``tarp``, ``bounds``, ``analytic``: thin over the package."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.evaluate_grid import Processes, usual_processes
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.evaluation.held_out_draws import HeldOutDraws

__all__ = ["agreement", "analytic", "bounds", "calibration", "sbc", "tarp"]

HeldOutTasks = Annotated[str, typer.Option(help="Comma-separated: mask-0 .. mask-6, x2, x4, x8.")]
HeldOutSlices = Annotated[
    int, typer.Option(min=4, help="Held-out images, evenly spaced; 43 of the brain's lie at all heights.")
]


def calibration(
    out: options.Out,
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[int, typer.Option(min=2, help="Held-out images of each set, evenly spaced.")] = 50,
    methods: Annotated[str, typer.Option(help="Comma-separated: map, laplace, vi.")] = "map",
    rival_slices: Annotated[
        int,
        typer.Option(min=0, help="Slices on which VI with the released code's entropy is tried (501 steps a task)."),
    ] = 2,
    rivals: Annotated[
        str | None,
        typer.Option(help="Comma-separated priors on which it is tried.", show_default="all that have a linear part"),
    ] = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    processes: Processes = None,
    device: options.Device = "auto",
    write: Annotated[
        Path | None, typer.Option(help="Registry (registry.json) to put the factors into.", show_default=False)
    ] = None,
) -> None:
    """Measure how well intervals cover held-out pixels, and compute the factors that correct them.

    Seven masks, super-resolution x2, x4, x8, 95 % missing and painted strokes. Factors are computed on half of the
    validation subjects, and all figures on the other half. Writes results.md, results.json, calibration.json (the
    factors) and plots. A run that was stopped goes on where it was; progress.log has a line for each restoration.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation import calibration as table
    from napari_brgm.evaluation.calibration_measure import HowToCalibrate
    from napari_brgm.evaluation.calibration_report import put_into_registry
    from napari_brgm.zoo.registry import registered

    how = HowToCalibrate(
        slices=slices, rival_slices=rival_slices, rivals=None if rivals is None else names(rivals),
        methods=names(methods), samples=samples, seed=seed, processes=usual_processes(processes), device=device,
    )  # fmt: skip
    chosen = tuple(registered()) if priors is None else names(priors)
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        report = table.run(data_folder(data), out, chosen, tell, how=how)
    if write is not None:
        for name in put_into_registry(write, report):
            say(f"{name}: factors put into {write}")
    say((out / "results.md").read_text())


def agreement(
    sigmas: Annotated[str, typer.Option(help="Noise levels of the network's part, grey levels.")] = "5,10,15",
    bends: Annotated[
        str, typer.Option(help="How strongly the network's styles follow its latents; 1: an untrained net.")
    ] = "0.25",
    mapped: Annotated[bool, typer.Option("--mapped", help="Infer z of a net with a mapping network.")] = False,
    draws: Annotated[int, typer.Option(min=20, help="Kept by each chain of Hamiltonian Monte Carlo.")] = 200,
    chains: Annotated[int, typer.Option(min=2, help="Of Hamiltonian Monte Carlo.")] = 8,
    seed: options.Seed = 0,
) -> None:
    """Compare the Gaussians of MAP and VI with exact answers, and with Hamiltonian Monte Carlo on a 32 px network.

    No data are needed: priors and observations are made up. A linear toy must agree within 1 % (mean) and 5 %
    (covariance); on the network, maps of standard deviation must correlate above 0.9, their means within 15 %.
    """
    from napari_brgm.evaluation.agreement import linear_agreement, network_agreement

    levels, bent = _numbers(sigmas), _numbers(bends)
    if not all(0 < level < math.inf for level in levels):
        raise InputError(f"noise levels are grey levels above 0, got {sigmas!r}")
    say("| linear toy | noise | method | mean, error | covariance, error | agrees |\n|" + "---|" * 6)
    for line in linear_agreement(seed=seed):
        say(
            f"| {line.corruption} | {line.sigma:g} | {line.method} | {line.mean_error:.2%} "
            f"| {line.covariance_error:.2%} | {_yes(line.agrees)} |"
        )
    say(
        "\n| network | corruption | noise | method | correlation | ratio of std | shift of mean / std | std, HMC "
        "| MAP missed | R-hat | ESS | acceptance | agrees |\n|" + "---|" * 13
    )
    for row in network_agreement(levels, bent, mapped=mapped, seed=seed, chains=chains, draws=draws):
        say(
            f"| {row.net} | {row.corruption} | {row.sigma:g} | {row.method} | {row.correlation:.3f} | {row.ratio:.3f} "
            f"| {row.shift:.2f} | {row.std:.2f} | {max(row.missed, 0):.1f} | {row.rhat:.3f} | {row.effective:.0f} "
            f"| {row.acceptance:.2f} | {_yes(row.agrees)} |"
        )


def sbc(
    out: options.Out,
    prior: Annotated[
        str, typer.Option("--prior", help="toy (a 32 px network), toy-linear, toy-mapped, or a prior by name or path.")
    ] = "toy",
    corruption: Annotated[str, typer.Option(help="mask (a central square) or downsample (by 4).")] = "mask",
    sigma: Annotated[float, typer.Option(help="Noise of the observation, grey levels.")] = 10.0,
    methods: Annotated[str, typer.Option(help="Comma-separated: map, laplace, vi.")] = "laplace,vi",
    simulations: Annotated[int, typer.Option(min=10, help="Truths drawn from the prior.")] = 100,
    draws: Annotated[
        int, typer.Option(min=3, help="Posterior draws of each; one less than a power of 2 bins best.")
    ] = 31,
    quantities: Annotated[int, typer.Option(min=1, help="Latent directions, and as many hidden pixels.")] = 8,
    seed: options.Seed = 0,
) -> None:
    """Simulation-based calibration: whether true values rank evenly among the posterior draws. No data are needed.

    Truths are drawn from the prior, corrupted with known noise, and inferred. Chi-square at 1 %, divided by the number
    of quantities. Writes ranks.json and ranks.png.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.rank_plot import plot_ranks
    from napari_brgm.evaluation.simulation import simulate

    chosen = tuple(name.strip() for name in methods.split(",") if name.strip())
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        reports = simulate(
            prior, corruption, sigma, chosen, simulations=simulations, draws=draws, quantities=quantities, seed=seed,
            tell=tell,
        )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)  # Outputs takes an empty one away
    (out / "ranks.json").write_text(json.dumps([report.as_dict() for report in reports], indent=1))
    plot_ranks(out / "ranks.png", reports)
    for report in reports:
        say(f"{report.title}: {report.verdict}\n\n| quantity | p | variance of ranks / uniform |\n|---|---|---|")
        for name, p, ratio in zip(report.names, report.p_values, report.spread, strict=True):
            say(f"| {name} | {p:.4f} | {ratio:.2f} |")
        say()
    say("variance above 1: the posterior is too narrow or off; below 1: too wide")
    say_path(out / "ranks.png")


def tarp(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    data: options.Data = None,
    tasks: HeldOutTasks = "mask-0,mask-5,x4",
    slices: HeldOutSlices = 43,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """TARP: whether truths lie among the draws as another draw would, by distances from reference points.

    References: even in the box of the set's percentiles, and the slice of another subject whose measured pixels are
    nearest. Writes tarp.csv (a row of each slice), tarp.md and tarp.png. A run that was stopped goes on where it was;
    the folder of evaluate bounds, or of evaluate calibration, has the draws already.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.tarp_study import TarpTable, tarp_rows

    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        TarpTable(tarp_rows(_drawn(out, prior, data, tasks, slices, samples, seed, device), tell)).write(out)
    say((out / "tarp.md").read_text())
    say_path(out / "tarp.png")


def bounds(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    data: options.Data = None,
    tasks: HeldOutTasks = "mask-0,mask-5,x4",
    slices: HeldOutSlices = 43,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Conformal bounds of 90 %: PSNR and SSIM of a whole image from below, and the mean of a region, from the draws.

    Fitted on half of the held-out subjects and checked on the others, over random halvings. Writes bounds.csv (a row of
    each slice and region), bounds.md and bounds.json (what all subjects together ask for). A run that was stopped goes
    on where it was; the folder of evaluate tarp, or of evaluate calibration, has the draws already.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.bounds import BoundTable, bound_rows

    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        drawn = _drawn(out, prior, data, tasks, slices, samples, seed, device)
        BoundTable.checked(drawn.picked_subjects)
        BoundTable(bound_rows(drawn, tell), seed).write(out)
    say((out / "bounds.md").read_text())


def analytic(
    out: options.Out,
    problems: Annotated[int, typer.Option(min=1, help="Truths of each prior and task.")] = 8,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: exact, map, laplace, vi, released-vi, ensemble, pulse, deep-image.",
            show_default="all",
        ),
    ] = None,
    seed: options.Seed = 0,
) -> None:
    """Hold methods and rivals against posteriors in closed form: a Gaussian and a mixture prior, a hole and a blur.

    No data are needed. Writes analytic.csv (a row of each problem and method) and analytic.md. A run that was stopped
    goes on where it was.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.analytic_methods import ANALYTIC_METHODS
    from napari_brgm.evaluation.analytic_table import AnalyticTable

    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        table = AnalyticTable(out, problems, tuple(ANALYTIC_METHODS) if methods is None else names(methods), seed)
        table.run(tell)
    say(table.markdown())
    say_path(out / "analytic.csv")


def _drawn(
    out: Path, prior: str, data: Path | None, tasks: str, slices: int, samples: int, seed: int, device: str
) -> HeldOutDraws:
    from napari_brgm.evaluation.held_out_draws import HeldOutDraws

    return HeldOutDraws(prior, data_folder(data), out, names(tasks), slices, samples, seed, device)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"expected numbers with commas between, got {text!r}") from error


def _yes(agrees: bool) -> str:
    return "yes" if agrees else "NO"

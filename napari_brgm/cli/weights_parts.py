"""``napari-brgm weights stacks``, ``thin``, ``bridge`` and ``mixture``: parts fitted for a prior, in a new file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli.terminal import say
from napari_brgm.cli.weights import Name, weights
from napari_brgm.errors import InputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import Prior

__all__ = ["bridge", "mixture", "stacks", "thin", "weights"]

TrainingStacks = Annotated[
    Path, typer.Option(help="Training subjects: zip or folder of images, neighbouring slices in a folder each.")
]
SliceDistance = Annotated[float, typer.Option(min=0.01, help="Distance of neighbouring slices, mm.")]
NewWeights = Annotated[Path, typer.Option(help="Weights file to write (.safetensors).")]
PixelSize = Annotated[float | None, typer.Option(min=0.01, help="Pixel size of images, mm.")]


@weights.command(
    "stacks",
    epilog="Example:\n\nnapari-brgm weights stacks brain-axial-128 --data brain_train.zip --slice-mm 1 "
    "--pixel-mm 1 --out brain-axial-128.safetensors",
)
def stacks(
    name: Name,
    data: TrainingStacks,
    slice_mm: SliceDistance,
    out: NewWeights,
    pixel_mm: PixelSize = None,
) -> None:
    """Measure how the slices of a stack belong together, and write the prior with it.

    The file then holds what restoring slices with their neighbours needs. All else of the prior stays as it is.
    """
    import torch

    from napari_brgm.tensor_file import read_tensors, write_tensors
    from napari_brgm.training.stacks import fit_through_plane

    prior, path, slabs = _training_stacks(name, data, pixel_mm)
    found = fit_through_plane(prior, slabs, slice_mm, lambda text: say(text, err=True))
    tensors, text = read_tensors(path)
    tensors |= {"through.latents": found.latents.half(), "through.residual": found.residual.half()}
    write_tensors(out, tensors, text)
    at = found.of_residual(torch.tensor([0.0, 1.0, 3.0, 5.0]))[:, 0].tolist()
    for name, row in (("broadest", at[0]), ("finest", at[-1])):
        near = ", ".join(f"{value:.2f} at {distance} mm" for value, distance in zip(row[1:], (1, 3, 5), strict=True))
        say(f"{out}: correlation of the residual field's {name} features {near}")


@weights.command(
    "thin",
    epilog="Example:\n\nnapari-brgm weights thin brain-axial-128 --data brain_train.zip --slice-mm 1 "
    "--pixel-mm 1 --out brain-axial-128.safetensors",
)
def thin(
    name: Name,
    data: TrainingStacks,
    slice_mm: SliceDistance,
    out: NewWeights,
    pixel_mm: PixelSize = None,
    steps: Annotated[int, typer.Option(min=1, help="Of training; 1300 take a quarter of an hour.")] = 1300,
) -> None:
    """Train what is finer than thick slices, and write the prior with it.

    Thin slices of thick ones are then read by a network. All else of the prior stays as it is.
    """
    from napari_brgm.training.through_detail import ThroughDetailSettings, fit_through_detail

    prior, path, slabs = _training_stacks(name, data, pixel_mm)
    whole = ThroughDetailSettings(steps=steps)
    settings = replace(whole, side=min(whole.side, prior.resolution))
    found = fit_through_detail(slabs, slice_mm, settings, lambda text: say(text, err=True))
    _write_with(found, "detail", path, out)


@weights.command(
    "bridge",
    epilog="Example:\n\nnapari-brgm weights bridge brain-axial-128 --data brain_train.zip --slice-mm 1 "
    "--pixel-mm 1 --out brain-axial-128.safetensors",
)
def bridge(
    name: Name,
    data: TrainingStacks,
    slice_mm: SliceDistance,
    out: NewWeights,
    pixel_mm: PixelSize = None,
    steps: Annotated[int, typer.Option(min=1, help="Of training; 5000 take three quarters of an hour.")] = 5000,
    rate: Annotated[float, typer.Option(min=1e-6, max=0.1, help="Of learning, at the start.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of holes and of a new network; a new one with --start.")] = 0,
    start: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="Go on from the network of this prior, by name or file.")
    ] = None,
) -> None:
    """Train what slices hide between measured ones, and write the prior with it.

    Holes in some slices of a stack are then read by a network from those on both sides. All else of the prior stays as
    it is.
    """
    from napari_brgm.training.bridge import BridgeSettings, fit_bridge
    from napari_brgm.zoo.registry import load_prior

    begun = None if start is None else load_prior(start).parts.bridge
    if start is not None and begun is None:
        raise InputError(f"{start} has no network for hidden slices to go on from: leave out --start")
    prior, path, slabs = _training_stacks(name, data, pixel_mm)
    settings = BridgeSettings(steps=steps, rate=rate, seed=seed)
    settings = replace(settings, side=min(settings.side, prior.resolution))
    found = fit_bridge(slabs, slice_mm, settings, lambda text: say(text, err=True), begun)
    _write_with(found, "bridge", path, out)


@weights.command(
    "mixture",
    epilog="Example:\n\nnapari-brgm weights mixture brain-axial-128 --data brain_train.zip --pixel-mm 1 --mirror "
    "--out brain-axial-128.safetensors",
)
def mixture(
    name: Name,
    data: TrainingStacks,
    out: NewWeights,
    pixel_mm: PixelSize = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Reflections are slices too.")] = False,
) -> None:
    """Fit a density of the latents over training slices, and write the prior with it.

    Restorations lean on it with --preset mixture. All else of the prior stays as it is.
    """
    import numpy as np
    import torch

    from napari_brgm.tensor_file import read_tensors, write_tensors
    from napari_brgm.training.mixture import fit_mixture

    prior, path, slices = _training_slices(name, data, pixel_mm)
    images = torch.from_numpy(np.ascontiguousarray(slices.images)) / 127.5 - 1
    subjects = torch.from_numpy(np.unique(slices.subjects, return_inverse=True)[1])
    found = fit_mixture(prior, images, subjects, mirror=mirror)
    tensors, text = read_tensors(path)
    tensors |= {"mixture.centres": found.centres.half(), "mixture.shrinkage": found.shrinkage.half()}
    write_tensors(out, tensors, text)
    leant = ", ".join(f"{value:.2f}" for value in found.shrinkage[[0, 4, 8, 16]].tolist())
    say(f"{out}: {len(found.centres):,} centres, leant on by {leant} in latents 1, 5, 9 and 17")


def _write_with(network: nn.Module, part: str, path: Path, out: Path) -> None:
    """Write the weights at ``path`` to ``out`` with a network in half precision as a part of theirs."""
    from napari_brgm.tensor_file import read_tensors, write_tensors

    tensors, text = read_tensors(path)
    tensors |= {f"{part}.{key}": value.half() for key, value in network.state_dict().items()}
    write_tensors(out, tensors, text)
    say(f"{out}: {sum(value.numel() for value in network.parameters()):,} parameters")


def _training_stacks(name: str, data: Path, pixel_mm: float | None) -> tuple[Prior, Path, Tensor]:
    """A prior, the file that is added to, and (S, Z, 1, R, R) stacks of training subjects in its frame."""
    from napari_brgm.training.stacks import stacks_of

    prior, path, slices = _training_slices(name, data, pixel_mm)
    return prior, path, stacks_of(slices)


def _training_slices(name: str, data: Path, pixel_mm: float | None) -> tuple[Prior, Path, SliceSet]:
    """A prior, the file that is added to, and slices of training subjects in its frame."""
    from napari_brgm.datasets import Framing, read_slices
    from napari_brgm.zoo.registry import entry_of, file_of, load_prior

    prior, entry = load_prior(name), entry_of(name)
    path = file_of(entry) if entry is not None else None
    if path is None:
        raise WeightsError(f"there is no file of {name} to add to; choose one of `weights list`")
    return prior, path, read_slices(data, Framing(prior.resolution, prior.info.spacing_mm), pixel_mm=pixel_mm)

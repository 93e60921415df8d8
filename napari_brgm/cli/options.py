"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli.where import is_address
from napari_brgm.engine.job import Job
from napari_brgm.errors import InputError
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from napari_brgm.engine.job import ObservedSlice, Stack
    from napari_brgm.priors.prior import Prior

__all__ = [
    "AUTO", "DEFAULT_PRIOR", "BrainData", "Data", "Device", "FeaturesName", "FeaturesOption", "FinishOption",
    "InferenceOptions", "InvertMask", "MethodName", "MethodOption", "Out", "Overwrite", "PixelSize", "PlaneName",
    "PlaneOption", "PresetName", "PriorName", "Priors", "Pseudonym", "Refine", "Resume", "RunDevice", "SampleCount",
    "SaveVideo", "ScanPath", "Seed", "SeriesNumber", "SliceChoice", "SliceIndex", "Steps", "Strip", "Sure", "Volume",
    "WithDescription", "data_folder", "names", "pair",
]  # fmt: skip

DEFAULT_PRIOR = "brain-axial-128"
AUTO = "auto"  # the preset that suits the prior


class MethodName(StrEnum):
    """Methods of inference, as the shell spells them."""

    map = "map"
    laplace = "laplace"
    vi = "vi"


class FeaturesName(StrEnum):
    """Features of the perceptual term, as the shell spells them."""

    auto = "auto"
    lpips = "lpips"
    encoder = "encoder"
    efficientnet = "efficientnet"
    none = "none"


class PlaneName(StrEnum):
    """Planes of a slice, as the shell spells them."""

    axial = "axial"
    coronal = "coronal"
    sagittal = "sagittal"


ScanPath = Annotated[
    Path,
    typer.Argument(
        metavar="SCAN", help="NIfTI file, DICOM file, folder of a DICOM series, or a picture (PNG, JPEG, TIFF)."
    ),
]
PixelSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-mm",
        help="Pixel size of a picture in mm: 1.5, or ROWS,COLUMNS; default: the prior's. Resolution tags are not read.",
        show_default=False,
    ),
]
InvertMask = Annotated[
    bool, typer.Option("--invert-mask", help="The mask is black (zero) where pixels are missing, not where measured.")
]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="The mask may hide more than 80 % of a slice.")]
SaveVideo = Annotated[
    Path | None,
    typer.Option(
        "--save-video",
        help="File of an animation (.gif, .webp or .apng) of the search, from the given slice to the restored one.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results; made if missing.", show_default=False)]
PriorName = Annotated[str, typer.Option("--prior", help="Name of a prior (see info), or path of a weights file.")]
MethodOption = Annotated[
    MethodName,
    typer.Option(
        "--method",
        help="map: most probable image; laplace: the same, its spread by the generator's own Jacobian (slower); "
        "vi: mean of the fitted posterior (slower).",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Steps of the optimisation; default: the preset's.", show_default=False)
]
SampleCount = Annotated[
    int, typer.Option("--samples", help="Posterior samples behind the variance, at least 2; 0: no variance.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same result on the same device.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
RunDevice = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda, cuda:N, or tcp://host:port of a dask scheduler: slices go to a worker of it.",
    ),
]
PresetName = Annotated[
    str, typer.Option("--preset", help="Settings: auto (those that suit the prior), mixture, paper, reference, box ...")
]
FeaturesOption = Annotated[
    FeaturesName,
    typer.Option(
        "--features",
        help="Of the perceptual term, which presets paper and reference have: auto takes lpips (VGG16) if it is on "
        "disk, else the prior's encoder, else efficientnet if it is installed; none leaves the term out.",
    ),
]
Refine = Annotated[
    int,
    typer.Option(
        "--refine",
        help="Steps that tune the generator itself to this slice after MAP; its notes say so. For small factors.",
    ),
]
FinishOption = Annotated[
    bool,
    typer.Option(
        "--finish/--no-finish",
        help="Give samples the texture of scans, where the prior has a network for it; mean and variance stay.",
    ),
]
PlaneOption = Annotated[
    PlaneName | None,
    typer.Option("--plane", help="Plane of the slice; default: the prior's.", show_default=False),
]
SliceIndex = Annotated[
    int | None, typer.Option("--index", help="Slice, from 0, in the order of the file.", show_default=False)
]
Volume = Annotated[int | None, typer.Option("--volume", help="Volume of a 4-D scan, from 0.", show_default=False)]
SeriesNumber = Annotated[
    int | None, typer.Option("--series", help="Which scan of a DICOM folder, from 1.", show_default=False)
]
Strip = Annotated[
    bool,
    typer.Option(
        "--strip",
        help="The scan is a whole T1 head: find its brain and restore inside it, all else stays as measured. Needs the "
        "extra napari-brgm[strip].",
    ),
]
Alone = Annotated[
    bool,
    typer.Option("--alone", help="Restore each slice by itself, without what its neighbours measured."),
]
WithDescription = Annotated[
    bool,
    typer.Option(
        "--with-description",
        help="Call results of a DICOM series by its description too, which may name the patient, not by number alone.",
    ),
]
Pseudonym = Annotated[
    str | None,
    typer.Option(
        "--pseudonym",
        help="What names of results, records, sheets and messages call the scan, in place of its file's name.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Keep finished slices in a hidden folder beside the results, go on from them when the command is given "
        "again, and do nothing where its results are there.",
    ),
]
BrainData = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of brain_train.zip and brain_validation.zip, or one that holds it as 'brain'; "
        "default: data, else ../shared/data.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder that holds the sets as 'brain' and 'xray'; default: data, else ../shared/data.",
        show_default=False,
    ),
]
Priors = Annotated[
    str | None,
    typer.Option("--priors", help="Comma-separated names or weights files.", show_default="every prior that ships"),
]
_DATA = (Path("data"), Path("../shared/data"))


def data_folder(given: Path | None) -> Path:
    """The folder that was given, else the first of the usual ones that is there."""
    return next((place for place in _DATA if place.is_dir()), _DATA[0]) if given is None else given


def names(text: str) -> tuple[str, ...]:
    """Names that commas part."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def pair(text: str, option: str, such_as: str) -> tuple[float, float]:
    """One number or two, for rows and columns, parted by a comma.

    Raises
    ------
    InputError
        It is something else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"{option} is one number such as {such_as}; got {text!r}")
    return numbers[0], numbers[-1]


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """Which slice of the input, as it was asked for (None: nothing was); whether its description names files."""

    plane: PlaneName | None = None
    index: int | None = None
    volume: int | None = None
    series: int | None = None
    pixel_mm: tuple[float, float] | None = None
    described: bool = False

    @classmethod
    def of(
        cls, plane: PlaneName | None, index: int | None, volume: int | None, series: int | None, pixel_mm: str | None,
        described: bool = False,
    ) -> SliceChoice:  # fmt: skip
        """Check the pixel size.

        Raises
        ------
        InputError
            It is not one or two numbers of mm above 0.
        """
        size = None if pixel_mm is None else pair(pixel_mm, "--pixel-mm", "1.5, or two for rows and columns")
        if size is not None and not (min(size) > 0 and max(size) < float("inf")):
            raise InputError(f"--pixel-mm must be above 0 mm, got {pixel_mm}")
        return cls(plane, index, volume, series, size, described)


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How to infer, checked before anything is read."""

    prior: str
    method: str
    samples: int
    seed: int
    device: str
    preset: str = AUTO
    steps: int | None = None
    refine: int = 0
    features: FeaturesName = FeaturesName.auto
    finish: bool = True

    @classmethod
    def of(
        cls, prior: str, method: str, steps: int | None, samples: int, seed: int, device: str, preset_name: str,
        refine: int = 0, features: FeaturesName = FeaturesName.auto, finish: bool = True,
    ) -> InferenceOptions:  # fmt: skip
        """Check what can be checked without loading anything.

        Raises
        ------
        InputError
            The preset is unknown, a number is out of range, or an option would count for nothing.
        """
        named = preset("default" if preset_name == AUTO else preset_name)
        if features != FeaturesName.auto and not named.lambda_perceptual:
            raise InputError("--features is about the perceptual term of --preset paper or reference; leave it out")
        if steps is not None:
            named.but(steps=steps)
        named.but(refine_steps=refine)
        if samples < 2 and (samples or method != "map"):
            raise InputError(
                f"--samples must be at least 2 to give a variance (0 for none, with --method map), got {samples}"
            )
        if not -(2**63) <= seed < 2**63:
            raise InputError(f"--seed must fit 64 bits, got {seed}")
        return cls(prior, str(method), samples, seed, device, preset_name, steps, refine, features, finish)

    def settings_for(self, prior: Prior) -> InferenceSettings:
        """Settings of the chosen preset, or of the one that suits the prior, with the wanted steps."""
        found = preset(prior.info.preset if self.preset == AUTO else self.preset)
        found = found.but(refine_steps=self.refine, finish=self.finish)
        if self.features != FeaturesName.auto:
            found = found.but(features=self.features.value)
        return found if self.steps is None else found.but(steps=self.steps, vi_steps=self.steps)

    def load_prior(self) -> Prior:
        """Load the prior, after a look at the device: both may fail, and neither takes long.

        Raises
        ------
        DeviceError, WeightsError
        """
        from napari_brgm.cli.loaded import loaded_prior
        from napari_brgm.engine.devices import pick_device

        if not is_address(self.device):
            pick_device(self.device)
        return loaded_prior(self.prior)

    def job(self, slices: tuple[ObservedSlice, ...], prior: Prior, stack: Stack | None = None) -> Job:
        """The job of these slices with this prior."""
        settings = self.settings_for(prior)
        device = "auto" if is_address(self.device) else self.device
        return Job(slices, prior, settings, self.method, self.samples, self.seed, device, stack=stack)

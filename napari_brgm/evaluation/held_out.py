"""The sets that priors are measured on: validation subjects of the brain and the X-ray sets, in a prior's own frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import InputError, ScanError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import Prior

__all__ = ["SETS", "HeldOutSet", "evenly_spaced", "grey_images", "set_of"]


@dataclass(frozen=True, slots=True)
class HeldOutSet:
    """Training and validation subjects of one kind of image, in one frame.

    Attributes
    ----------
    name, title : str
        For example 'brain-128'; what is in it.
    folder, training, validation : str
        Where the archives lie in the data folder, and their names.
    framing : Framing
    pixel_mm : (float, float)
        Pixel size of the archives' images, mm.
    modalities, planes : tuple of str
        Words of a prior's modality and its plane, in lower case; one of each must be there for the set to fit.
    linear : dict or None
        Components and noise variance (grey levels squared) of the linear-Gaussian rival by task, where they are
        published; None: tuned on held-out training subjects.
    """

    name: str
    title: str
    folder: str
    training: str
    validation: str
    framing: Framing
    pixel_mm: tuple[float, float]
    modalities: tuple[str, ...]
    planes: tuple[str, ...]
    linear: dict[str, tuple[int, float]] | None = None

    def fits(self, prior: Prior) -> bool:
        """Say whether the prior draws such images in this frame."""
        info, spacing = prior.info, self.framing.spacing_mm
        words = info.modality.lower().replace(",", " ").split()
        return (
            prior.resolution == self.framing.resolution
            and any(word in self.modalities for word in words)
            and info.plane.lower() in self.planes
            and (not spacing or not info.spacing_mm or abs(info.spacing_mm / spacing - 1) < 0.01)
        )

    def archive(self, data: Path, part: Literal["training", "validation"]) -> Path:
        """Where the images of ``part`` should lie: in the set's folder, or in ``data`` itself."""
        name = self.training if part == "training" else self.validation
        inner = data / self.folder / name
        return inner if inner.exists() else data / name

    def read(self, data: Path, part: Literal["training", "validation"]) -> SliceSet:
        """Read all images of ``part``.

        Raises
        ------
        ScanError
            The archive is missing or damaged, or its images are in colour.
        """
        path = self.archive(data, part)
        if not path.exists():
            raise ScanError(
                f"{data / self.folder / path.name} does not exist; give the folder that holds '{self.folder}' with "
                f"{path.name} in it"
            )
        slices = read_slices(path, self.framing, pixel_mm=self.pixel_mm)
        if slices.images.shape[1] != 1:
            raise ScanError(f"{path} holds colour images; priors are measured on grey ones")
        return slices


# Effective white-noise variances of 1,024 components in grey levels squared. Their true residual is 14, but correlated
# over a hole; low-resolution pixels average much of it out. 8,500 and 1,700 / factor^2 (before back-projection) were
# found by a scan on the validation slices, which favours these rivals.
_HOLE_NOISE, _LOW_RES_NOISE = 8500.0, 1700.0
_PROTOCOL = dict.fromkeys((*(f"mask-{i}" for i in range(7)), "strokes"), (1024, _HOLE_NOISE))
_PROTOCOL |= {f"x{factor}": (1024, _LOW_RES_NOISE / factor**2) for factor in (2, 4, 8)}
_PROTOCOL |= {"missing-95": (1024, 512.0), "jpeg-10": (1024, 128.0)}  # tuned_choices: training subjects alone

_RADIOGRAPH = ("x-ray", "xray", "x-rays", "radiograph", "cr", "dx")

SETS: tuple[HeldOutSet, ...] = (
    HeldOutSet(
        "brain-128", "axial T1 brain slices, 1.5 mm", "brain", "brain_train.zip", "brain_validation.zip",
        Framing(128, 1.5), (1.0, 1.0), ("mr", "mri", "t1"), ("axial",), _PROTOCOL,
    ),
    HeldOutSet(
        "brain-256", "axial T1 brain slices, 1 mm", "brain", "brain_train.zip", "brain_validation.zip",
        Framing(256, 1.0), (1.0, 1.0), ("mr", "mri", "t1"), ("axial",),
    ),
    HeldOutSet(
        "xray-128", "frontal chest X-rays, reduced", "xray", "xray_train.zip", "xray_validation.zip",
        Framing(128), (1.0, 1.0), _RADIOGRAPH, ("", "frontal", "pa", "ap"),
    ),
    HeldOutSet(
        "xray-256", "frontal chest X-rays", "xray", "xray_train.zip", "xray_validation.zip",
        Framing(256), (1.0, 1.0), _RADIOGRAPH, ("", "frontal", "pa", "ap"),
    ),
)  # fmt: skip


def set_of(prior: Prior, sets: Sequence[HeldOutSet] = SETS) -> HeldOutSet:
    """Find the set that the prior's card fits.

    Raises
    ------
    InputError
        There is none.
    """
    for held in sets:
        if held.fits(prior):
            return held
    info, size = prior.info, prior.resolution
    known = "; ".join(f"{held.title}, {held.framing.resolution} x {held.framing.resolution}" for held in sets)
    raise InputError(
        f"{info.name} (modality {info.modality or 'unknown'}, plane {info.plane or 'unknown'}, {size} x {size} "
        f"pixels of {info.spacing_mm:g} mm) fits none of the validation sets ({known}); "
        "leave it out, or complete its card"
    )


def grey_images(slices: SliceSet, pick: Sequence[int] | None = None) -> npt.NDArray[np.float32]:
    """Images (N, R, R) in grey levels 0..255; ``pick``: only these."""
    chosen = slices.images[:, 0] if pick is None else slices.images[list(pick), 0]
    return np.asarray(chosen * np.float32(255 / slices.white), dtype=np.float32)


def evenly_spaced(total: int, count: int) -> list[int]:
    """Numbers of ``count`` of ``total`` images, by a fixed stride where that gives so many.

    50 of the 640 brain slices are those of the measuring stick, 0, 13, 26, ...

    Raises
    ------
    InputError
        There are not so many.

    Examples
    --------
    >>> evenly_spaced(640, 50)[-3:]
    [611, 624, 637]
    >>> evenly_spaced(9, 6)
    [0, 1, 3, 4, 6, 7]
    """
    if not 0 < count <= total:
        raise InputError(f"{count} images were asked for, but the validation set has {total}; choose 1 to {total}")
    strided = list(range(0, total, -(-total // count)))
    return strided if len(strided) == count else [i * total // count for i in range(count)]

"""Classical in-painting: what is round a hole is continued into it by a rule, without any training.

    Telea            weighted means along the fast-marching front from the rim inwards (OpenCV)
    Navier-Stokes    isophotes continued as the flow of a fluid (OpenCV)
    biharmonic       laplace(laplace(x)) = 0 in the hole (scikit-image)
    scattered        triangles between the measured pixels, linear or cubic; beyond their hull the nearest (scipy)

Sources: A. Telea, J. Graphics Tools 9, 2004, doi:10.1080/10867651.2004.10487596; M. Bertalmio, A. Bertozzi and
G. Sapiro, CVPR 2001, doi:10.1109/CVPR.2001.990497; S. Damelin and N. Hoang, "On surface completion and image inpainting
by biharmonic functions", Int. J. Math. 2018, doi:10.1155/2018/3950312; P. Alfeld, "A trivariate Clough-Tocher scheme",
CAGD 1, 1984 (the cubic).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from napari_brgm.errors import InputError
from napari_brgm.evaluation.method import Restored

if TYPE_CHECKING:
    from napari_brgm.evaluation.method import Image, MethodFamily
    from napari_brgm.evaluation.tasks import Task

__all__ = ["Biharmonic", "OpenCvPainting", "Scattered"]

# pixels; the best of 1 to 32 on 12 training slices, seven holes together
_RADIUS: dict[str, int] = {"telea": 5, "navier-stokes": 16}


@dataclass(frozen=True, slots=True)
class OpenCvPainting:
    """Telea's or the Navier-Stokes in-painting, on 8 bits as OpenCV does it.

    Parameters
    ----------
    algorithm : {'telea', 'navier-stokes'}
    """

    algorithm: Literal["telea", "navier-stokes"]

    family: ClassVar[MethodFamily] = "training-free"

    @property
    def radius(self) -> int:
        """Of the neighbourhood that a pixel is filled from, pixels."""
        return _RADIUS[self.algorithm]

    @property
    def name(self) -> str:
        return self.algorithm

    @property
    def title(self) -> str:
        return f"{'Telea' if self.algorithm == 'telea' else 'Navier-Stokes'} (radius {self.radius})"

    def fingerprint(self) -> dict[str, Any]:
        return {"radius": self.radius}

    def solves(self, task: Task) -> bool:
        return task.kind == "hole"

    def prepare(self) -> None:
        """Look for OpenCV.

        Raises
        ------
        InputError
            It is not installed.
        """
        _opencv()

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Fill the hole; nothing is random."""
        cv2 = _opencv()
        flag = cv2.INPAINT_TELEA if self.algorithm == "telea" else cv2.INPAINT_NS
        grey = np.clip(np.round(observed), 0, 255).astype(np.uint8)
        painted = cv2.inpaint(grey, task.region.astype(np.uint8), self.radius, flag)
        return Restored(painted.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Biharmonic:
    """The biharmonic function of the rim, as scikit-image solves for it."""

    family: ClassVar[MethodFamily] = "training-free"
    name = "biharmonic"
    title = "biharmonic"

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def solves(self, task: Task) -> bool:
        return task.kind == "hole"

    def prepare(self) -> None:
        """Nothing is learned."""

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Fill the hole; nothing is random."""
        from skimage.restoration import inpaint_biharmonic

        return Restored(inpaint_biharmonic(observed.astype(np.float64), task.region))


@dataclass(frozen=True, slots=True)
class Scattered:
    """Interpolation between measured pixels wherever they lie.

    Parameters
    ----------
    kind : {'nearest', 'linear', 'cubic'}
    """

    kind: Literal["nearest", "linear", "cubic"]

    family: ClassVar[MethodFamily] = "training-free"

    @property
    def name(self) -> str:
        return f"scattered-{self.kind}"

    @property
    def title(self) -> str:
        return {
            "nearest": "nearest measured pixel", "linear": "linear between measured pixels",
            "cubic": "cubic between measured pixels",
        }[self.kind]  # fmt: skip

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def solves(self, task: Task) -> bool:
        return task.kind == "hole"

    def prepare(self) -> None:
        """Nothing is learned."""

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Fill the hole; nothing is random."""
        from scipy.interpolate import griddata

        known, hole = np.argwhere(~task.region), np.argwhere(task.region)
        values = observed[~task.region].astype(np.float64)
        found = griddata(known, values, hole, method=self.kind)
        beyond = np.isnan(found)
        if beyond.any():
            found[beyond] = griddata(known, values, hole[beyond], method="nearest")
        image = observed.astype(np.float64)
        image[task.region] = found
        return Restored(image)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            "Telea and Navier-Stokes need OpenCV; install it with `pip install napari-brgm[evaluation]`"
        ) from error
    return cv2

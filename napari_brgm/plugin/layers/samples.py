"""Sample data of the plugin: File > Open Sample. None of it is fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import ScanError
from napari_brgm.plugin.canvas.follow import follow_window
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.scans import image_layer, mask_layer
from napari_brgm.plugin.layers.tag import mark_window
from napari_brgm.plugin.torch_loading import load_triton_apart
from napari_brgm.scan import Scan
from napari_brgm.scans.samples import brain_slab, brain_slice, thick_brain_slab, thick_brain_slice

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.utils.colormaps import DirectLabelColormap

    LayerData = tuple[npt.NDArray[Any], dict[str, Any], str]

__all__ = [
    "brain_at_low_resolution",
    "brain_in_thick_slices",
    "brain_volume_with_artefacts",
    "brain_with_artefact",
    "drawn_chest_x_ray",
    "pydicom_ct",
    "pydicom_mr",
]

_X_RAYS = "chest-xray-256"
_SEED = 0


def brain_with_artefact() -> list[LayerData]:
    """Open one axial slice of the MNI152 brain, and strokes painted over it as if an artefact were there."""
    scan, mask = brain_slice()
    return [_opened(scan), mask_layer(scan, mask, "artefact mask")]


def brain_at_low_resolution() -> list[LayerData]:
    """Open the same slice with pixels of 4 mm, for super-resolution."""
    return [_opened(thick_brain_slice())]


def brain_volume_with_artefacts() -> list[LayerData]:
    """Open 31 axial slices of it, and two artefacts with labels of their own painted over six of them."""
    scan, labels = brain_slab()
    data, place, _ = _opened(replace(scan, array=labels))
    settings = {key: place[key] for key in ("scale", "translate", "units", "axis_labels")}
    settings |= {"name": "artefact masks", "opacity": 0.6, "colormap": _two_colours()}
    return [_opened(scan), (data, settings, "labels")]


def brain_in_thick_slices() -> list[LayerData]:
    """Open the same volume as coronal slices of 4 mm show it, for super-resolution through the plane."""
    return [_opened(thick_brain_slab())]


def pydicom_mr() -> list[LayerData]:
    """Open an MR slice of 64 pixels that no prior suits: the file MR_small.dcm of pydicom's tests."""
    return _from_pydicom("MR_small")


def pydicom_ct() -> list[LayerData]:
    """Open a CT slice of 128 pixels that no prior suits: the file CT_small.dcm of pydicom's tests."""
    return _from_pydicom("CT_small")


def drawn_chest_x_ray() -> list[LayerData]:
    """Open a chest X-ray that is nobody's: the prior drew it. Its pixel size is not known."""
    from napari_brgm.engine.explore import draw, drawn_record
    from napari_brgm.zoo.registry import load_prior

    load_triton_apart()
    prior = load_prior(_X_RAYS)
    images, record = draw(prior, 1, _SEED, device="cpu"), drawn_record(prior, 1, _SEED, device="cpu")
    affine = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # rows S-I, columns R-L
    scan = Scan(
        images[0, :, :, None],
        affine,
        name=result_name("drawn", f"chest X-ray of {_X_RAYS}"),
        modality="CR",
        provenance=record | {"role": "drawn", "task": "explore"},
    )
    data, settings, kind = _opened(scan)
    settings |= {"scale": (1, 1), "translate": (0, 0), "units": ("pixel", "pixel"), "contrast_limits": (0.0, 255.0)}
    mark_window()
    return [(data, settings, kind)]


def _opened(scan: Scan) -> tuple[npt.NDArray[Any], dict[str, Any], str]:
    follow_window()
    return image_layer(scan)


def _from_pydicom(name: str) -> list[LayerData]:
    from pydicom.data import get_testdata_file

    from napari_brgm.scans import read_scan

    path = get_testdata_file(f"{name}.dcm", download=False)
    if path is None:
        raise ScanError(f"{name}.dcm did not come with pydicom; install pydicom again")
    return [_opened(replace(scan, name=f"{name} (pydicom)")) for scan in read_scan(str(path))]


def _two_colours() -> DirectLabelColormap:
    from napari.utils.colormaps import DirectLabelColormap

    red, blue, clear = (1.0, 0.35, 0.3, 1.0), (0.3, 0.6, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)
    return DirectLabelColormap(color_dict={None: red, 0: clear, 1: red, 2: blue})

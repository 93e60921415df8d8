"""The prior must be the one for the scan's anatomy and pixels, for the reason that is told; what layers say about a run
must reach the engine's advice, and a poor fit must not be told as a fact about the viewer.
"""

from __future__ import annotations

import tarfile
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.engine.restore import restore
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.restore.matching import advice_for, best_prior, modality_of, turned_about
from napari_brgm.plugin.restore.preview import Part
from napari_brgm.scans import read_scan
from napari_brgm.scans.samples import brain_slice
from napari_brgm.settings import settings_for
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.registry import load_prior, registered

# trained on nothing: the slice is its frame, and it has no density
IGNORANT = PriorEntry("texture", Kind.builtin, modality="any", preset="untrained", rank=9)


def entry(name: str, modality: str = "MR T1", plane: str = "axial", **more) -> PriorEntry:
    return PriorEntry(name, Kind.shipped, modality=modality, plane=plane, **{"resolution": 128} | more)


def table(*entries: PriorEntry) -> dict[str, PriorEntry]:
    return {one.name: one for one in entries}


@pytest.mark.parametrize(
    ("modality", "plane", "spacing", "prior", "part"),
    [
        ("MR", "axial", (1.0, 1.0), "brain-axial-256", "pixels are 1 mm"),
        ("MR", "axial", (0.5, 2.0), "brain-axial-128", "pixels are 2 mm"),
        ("MR", "axial", None, "brain-axial-128", "the scan is MR, its slice axial"),
        ("MR", "sagittal", (4.0, 4.0), "brain-axial-128", "no prior knows sagittal slices"),
        ("", "axial", (4.0, 4.0), "brain-axial-128", "nothing says what the scan is and MR T1 is assumed"),
        ("CR", "coronal", None, "chest-xray-256", "the scan is CR, its slice coronal"),
        ("DX", "coronal", (0.14, 0.14), "chest-xray-256", "the scan is DX"),
    ],
)
def test_among_the_shipped_priors(modality, plane, spacing, prior: str, part: str) -> None:
    """Catches a prior of another anatomy, and a latent convolutional model for want of a pixel size."""
    match = best_prior(registered(), modality, plane, spacing)
    assert match is not None and match.prior == prior
    assert part in match.reason


def test_the_pixel_size_is_a_reason_only_where_it_decides() -> None:
    match = best_prior(table(entry("only-128")), "MR", "axial", (1.0, 1.0))
    assert match == ("only-128", "the scan is MR, its slice axial")


def test_a_prior_of_the_wrong_size_before_one_of_a_higher_rank() -> None:
    """Whatever they are called: latent convolutional models were worse on average (docs/manifolds.md)."""
    priors = table(entry("head-128", rank=1), entry("head-lcm-256", resolution=256))
    match = best_prior(priors, "MR", "axial", (2.0, 2.0))
    assert match is not None and match.prior == "head-lcm-256" and "mm" not in match.reason


def test_no_prior_knows_the_modality() -> None:
    priors = table(entry("head"), entry("chest", "CR", "frontal"), PriorEntry("unknown", Kind.installed))
    match = best_prior(priors, "CT", "axial", None)
    assert match is not None and match.prior == "head" and "no prior knows CT" in match.reason
    match = best_prior(priors | table(IGNORANT), "CT", "axial", None)
    assert match == ("texture", "no prior knows CT (those here know CR, MR T1)")


def test_nothing_is_known_of_the_priors() -> None:
    assert best_prior({}, "MR", "axial", None) is None
    chosen = [best_prior(registered(), "MR", "axial", None, "looks like", n).prior for n in (0, 128, 208)]
    assert chosen == ["brain-axial-128", "brain-axial-128", "brain-axial-256"]  # it has to lie in the frame
    assert best_prior(table(PriorEntry("unknown", Kind.installed)), "MR", "axial", None) is None


@pytest.mark.parametrize(
    ("metadata", "modality"), [({}, ""), ({"scan": {"modality": "CT"}}, "CT"), ({"scan": {"modality": None}}, ""),
    ({"scan": "a string of another plugin's"}, "")],
)  # fmt: skip
def test_modality_of_any_layer(metadata: dict, modality: str) -> None:
    assert modality_of(Image(np.zeros((2, 2)), metadata=metadata)) == modality


BRAIN = entry("head")
CHEST = entry("chest", "CR", "frontal", resolution=256)
DISC = np.hypot(*(np.indices((32, 32)) - 15.5)) < 12


def parts(missing: list[np.ndarray], modality: str = "MR", **place):
    viewer = ViewerModel()
    settings = {"units": "mm", "axis_labels": ("I-S", "A-P", "R-L")} | place
    image = viewer.add_image(
        np.stack([DISC] * 3).astype(np.float32), metadata={"scan": {"modality": modality}}, **settings
    )
    shown = shown_slice(image, viewer.dims)
    return image, [Part(shown, ObservedSlice(shown.image, Identity, shown.spacing), one) for one in missing]


SMALL = np.zeros((32, 32), bool)
SMALL[14:18, 14:18] = True


def test_a_slice_that_suits_says_nothing() -> None:
    assert advice_for(*parts([SMALL]), BRAIN) == []


@pytest.mark.parametrize(
    ("given", "entry", "part"),
    [
        ({"modality": "CT"}, BRAIN, "the scan is CT and the prior knows MR T1"),
        ({"scale": (1, -1, 1)}, BRAIN, "shown upside down"),
        ({"axis_labels": ("A-P", "S-I", "R-L")}, BRAIN, "the slice is coronal"),
        ({"units": "pixel"}, BRAIN, "the pixel size is not known"),
    ],
)
def test_what_the_layer_says_is_heard(given: dict, entry: PriorEntry, part: str) -> None:
    (sentence,) = advice_for(*parts([SMALL], **given), entry)
    assert part in sentence


def test_radiographs_need_no_pixel_size() -> None:
    image, many = parts([SMALL], "DX", axis_labels=("A-P", "S-I", "R-L"), units="pixel")
    assert advice_for(image, many, CHEST) == []


def test_a_prior_of_which_nothing_is_known() -> None:
    own = PriorEntry("own", Kind.installed, resolution=64)
    assert advice_for(*parts([SMALL], "CT"), own) == []


def test_many_slices_say_each_once_with_the_worst_number() -> None:
    """Catches a line for each of thirty slices, and the mildest one of them."""
    masks = []
    for side in (8, 10, 9):
        mask = np.zeros((32, 32), bool)
        mask[16 - side : 16 + side, 16 - side : 16 + side] = True
        masks.append(mask)
    image, many = parts(masks)
    alone = [advice_for(image, [one], BRAIN)[0] for one in many]
    assert len(set(alone)) == 3
    assert advice_for(image, many, BRAIN) == [alone[1]]
    untrained = advice_for(image, many, IGNORANT)
    assert len(untrained) == 2 and "20 pixels thick" in untrained[1]


RADIOLOGICAL = ("I-S", "A-P", "R-L")
UPSIDE_DOWN, DOUBTFUL = "lies upside down in the viewer", "the fit is doubtful"
UNKNOWN = "the layer does not say which way is up"


def found(rotation: float, misfit: float | None = 0.1, fitted: bool = True) -> dict:
    """What the record of a restored slice says."""
    return {
        "alignment": {"rotation": rotation, "fitted": fitted},
        "misfit": {"value": misfit, "limit": 0.245},
    }


@pytest.mark.parametrize(
    ("labels", "scale", "records", "said"),
    [
        (("z", "y", "x"), (1, 1, 1), [found(3.0)], UNKNOWN),  # however well it fits
        (("z", "y", "x"), (1, 1, 1), [found(-176.0)], ""),
        (("z", "y", "x"), (1, 1, 1), [found(3.0, fitted=False)], ""),
        (("z", "y", "x"), (1, 1, 1), [found(3.0, misfit=0.33)], UNKNOWN),
        (("z", "y", "x"), (1, 1, 1), [found(3.0, misfit=None)], UNKNOWN),
        (("z", "y", "x"), (1, 1, 1), [found(3.0), found(178.0)], "fits 1 of 2 slices better turned about"),
        (RADIOLOGICAL, (1, 1, 1), [found(3.0)], DOUBTFUL),  # however well it fits
        (RADIOLOGICAL, (1, 1, 1), [found(3.0, misfit=0.33)], DOUBTFUL),
        (RADIOLOGICAL, (1, -1, 1), [found(3.0, misfit=0.33)], UPSIDE_DOWN),  # the layer itself says so
        (RADIOLOGICAL, (1, 1, -1), [found(3.0)], DOUBTFUL),  # mirrored, but the right way up
    ],
)
def test_a_poor_fit_is_no_fact_about_the_viewer(labels, scale, records: list[dict], said: str) -> None:
    image, (part,) = parts([SMALL], axis_labels=labels, scale=scale)
    sentences = turned_about(image, part.shown, records, replace(BRAIN, rotation=180))
    assert len(sentences) == bool(said) and said in "".join(sentences)
    assert UPSIDE_DOWN in said or not any(UPSIDE_DOWN in sentence for sentence in sentences)


def restored(image: Image, viewer: ViewerModel) -> dict:
    """The record of the slice on show after a run with the engine and the shipped prior."""
    shown, entry = shown_slice(image, viewer.dims), registered()["brain-axial-128"]
    missing = np.zeros(shown.image.shape, bool)
    rows, columns = missing.shape
    missing[rows // 2 - 9 : rows // 2 + 9, columns // 2 - 9 : columns // 2 + 9] = True
    settings = settings_for(entry.preset, "preview")
    prior = load_prior(entry.name)
    one = restore(shown.image, Mask(missing), prior, spacing=shown.spacing, samples=2, device="cpu", settings=settings)
    return one.provenance


def test_a_head_whose_front_is_up(shared_data, tmp_path) -> None:
    """A real head at the level of the pons, below all that the prior knows: its fits come out upside down."""
    with tarfile.open(shared_data / "dicom_nifti" / "example_dicom_structural.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    data, settings, _ = image_layer(read_scan(tmp_path)[0])
    viewer = ViewerModel()
    image = viewer.add_image(data, **settings)
    nameless = Image(data, **{key: value for key, value in settings.items() if key != "axis_labels"})
    entry = registered()["brain-axial-128"]
    records = []
    for number in (32, 38, 44):
        viewer.dims.set_current_step(0, number)
        records.append(restored(image, viewer))
        shown = shown_slice(image, viewer.dims)
        (sentence,) = turned_about(image, shown, records[-1:], entry)
        assert DOUBTFUL in sentence and UPSIDE_DOWN not in sentence
        (sentence,) = turned_about(nameless, shown, records[-1:], entry)  # as others would open it
        assert "or the fit is wrong" in sentence and UPSIDE_DOWN not in sentence
    assert "fits 3 of 3 slices" in turned_about(image, shown, records, entry)[0]


@pytest.mark.parametrize("up", [True, False])
def test_a_brain_that_the_prior_knows(up: bool) -> None:
    """The sample without names of its axes: told where it lies upside down, though not as a fact."""
    data, _, _ = image_layer(brain_slice()[0])
    viewer = ViewerModel()
    image = viewer.add_image(np.ascontiguousarray(data if up else data[::-1, ::-1]), units="mm")
    record = restored(image, viewer)
    sentences = turned_about(image, shown_slice(image, viewer.dims), [record], registered()["brain-axial-128"])
    assert len(sentences) == (not up) and all(UNKNOWN in sentence for sentence in sentences)

"""A letter on the wrong side is worse than none: the sides are those of the affine, whatever the axes on the screen."""

from __future__ import annotations

from itertools import permutations, product
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from nibabel.orientations import aff2axcodes
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence

from napari_brgm.plugin.canvas.orientation import Edges, axis_way, edges_of, letters_of, says_orientation
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan

RADIOLOGICAL = {
    "axial": Edges(left="R", right="L", top="A", bottom="P"),
    "coronal": Edges(left="R", right="L", top="S", bottom="I"),
    "sagittal": Edges(left="A", right="P", top="S", bottom="I"),
}
OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


def shown(viewer: ViewerModel, **camera) -> Edges:
    return edges_of(viewer.layers, viewer.dims, **camera)


def marked(affine: np.ndarray) -> Scan:
    """A scan with a bright patch nearest to the patient's right, front and head."""
    array = np.zeros((6, 7, 8), np.float32)
    corners = np.array(list(product((1, 4), (1, 5), (1, 6))))
    world = corners @ affine[:3, :3].T
    array[tuple(corners[np.argmax(world.sum(axis=1))])] = 1
    return Scan(array, affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_any_order_and_direction_of_the_file_s_axes(order, signs) -> None:
    """Letters agree with where a patch is seen that the affine puts to the right, in front and to the head."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * [2.0, 3.0, 4.0])[:, order] * signs
    affine[:3, 3] = (5, -7, 11)
    viewer = ViewerModel()
    data, settings, _ = image_layer(marked(affine))
    layer = viewer.add_image(data, **settings)
    for displayed in permutations(range(3)):
        viewer.dims.order = displayed
        edges = shown(viewer)
        place = np.unravel_index(np.argmax(data), data.shape)
        world = layer.data_to_world(place) - np.mean(layer.extent.world, axis=0)
        down, right = (world[axis] for axis in displayed[1:])
        assert (edges.bottom if down > 0 else edges.top) in ("R", "A", "S")
        assert (edges.right if right > 0 else edges.left) in ("R", "A", "S")
        assert (OPPOSITE[edges.left], OPPOSITE[edges.top]) == (edges.right, edges.bottom)
        if displayed == (0, 1, 2):
            assert edges == RADIOLOGICAL["axial"]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_single_slice(plane: str) -> None:
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    shape = [6, 7, 8]
    shape[axis] = 1
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(np.ones(shape, np.float32), np.diag([1.0, 2, 3, 1])))
    viewer.add_image(data, **settings)
    assert viewer.layers[0].ndim == 2 and shown(viewer) == RADIOLOGICAL[plane]


def test_a_layer_turned_by_hand_takes_its_letters_along() -> None:
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8), np.float32), np.eye(4)))
    layer = viewer.add_image(data, **settings)
    layer.scale = layer.scale * [1, 1, -1]
    assert shown(viewer) == Edges(left="L", right="R", top="A", bottom="P")
    layer.scale = np.abs(layer.scale)
    layer.affine = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])  # rows and columns exchanged
    assert shown(viewer) == Edges(left="A", right="P", top="R", bottom="L")
    layer.affine = np.diag([1.0, -1, 1, 1])
    assert shown(viewer) == Edges(left="R", right="L", top="P", bottom="A")


def test_the_camera_may_look_from_the_other_side() -> None:
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8), np.float32), np.eye(4)))
    viewer.add_image(data, **settings)
    assert shown(viewer, flips=(True, False)) == Edges(left="R", right="L", top="P", bottom="A")
    assert shown(viewer, flips=(False, True)) == Edges(left="L", right="R", top="A", bottom="P")


def test_times_are_no_direction() -> None:
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8, 3), np.float32), np.eye(4)))
    viewer.add_image(data, **settings)
    assert shown(viewer) == RADIOLOGICAL["axial"]
    viewer.dims.order = (1, 2, 0, 3)
    assert shown(viewer) == Edges()
    viewer.layers.clear()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 1, 3), np.float32), np.eye(4)))
    viewer.add_image(data, **settings)
    viewer.dims.order = (0, 1, 2)
    assert viewer.layers[0].ndim == 3 and shown(viewer) == RADIOLOGICAL["axial"]


def test_oblique_slices_name_both_directions() -> None:
    tilt = np.deg2rad(30)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8), np.float32), affine))
    viewer.add_image(data, **settings)
    assert shown(viewer) == Edges(left="R", right="L", top="AS", bottom="PI")
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8), np.float32), np.eye(4)))
    viewer.add_image(data, **settings)
    assert shown(viewer) == RADIOLOGICAL["axial"]  # what both have
    assert letters_of([0.1, 0, 0.99]) == "S"


def test_nothing_is_said_where_nothing_is_known() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.ones((4, 5, 6)))
    assert shown(viewer) == Edges()
    data, settings, _ = image_layer(Scan(np.ones((6, 7, 8), np.float32), np.eye(4)))
    layer = viewer.add_image(data, **settings)
    assert shown(viewer) == RADIOLOGICAL["axial"]
    viewer.dims.ndisplay = 3
    assert shown(viewer) == Edges()
    viewer.dims.ndisplay = 2
    layer.visible = False
    assert shown(viewer) == Edges()
    layer.visible = True
    mirrored = viewer.add_image(data, **settings)
    mirrored.scale = mirrored.scale * [1, 1, -1]
    assert shown(viewer) == Edges(top="A", bottom="P")  # the two disagree about the sides
    mirrored.visible = False
    viewer.add_image(np.ones((6, 5, 4)), axis_labels=("R-L", "A-P", "I-S"), name="of another reader")
    layer.visible = False
    assert shown(viewer) == Edges(left="I", right="S", top="A", bottom="P")


@pytest.mark.parametrize(("codes", "known"), [((0, 0), False), ((1, 0), True), ((0, 1), True)])
def test_a_nifti_file_that_is_not_placed(tmp_path, codes, known) -> None:
    image = nib.Nifti1Image(np.ones((6, 7, 8), np.float32), np.diag([-2.0, 3, 4, 1]))
    image.set_sform(image.affine, codes[0])
    image.set_qform(image.affine, codes[1])
    nib.save(image, tmp_path / "t.nii.gz")
    assert aff2axcodes(image.affine) == ("L", "A", "S")
    viewer = ViewerModel()
    data, settings, _ = image_layer(read_scan(tmp_path / "t.nii.gz")[0])
    viewer.add_image(data, **settings)
    assert shown(viewer) == (RADIOLOGICAL["axial"] if known else Edges())


@pytest.mark.parametrize(("spoil", "known"), [("", True), ("ImageOrientationPatient", False)])
def test_a_dicom_file_that_is_not_placed(tmp_path, spoil: str, known: bool) -> None:
    from pydicom import dcmread

    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.pop(spoil, None) if spoil else None
    dataset.save_as(tmp_path / "ct.dcm")
    viewer = ViewerModel()
    data, settings, _ = image_layer(read_scan(tmp_path / "ct.dcm")[0])
    viewer.add_image(data, **settings)
    assert shown(viewer) == (RADIOLOGICAL["axial"] if known else Edges())
    viewer.layers[0].visible = False
    viewer.add_image(np.ones((4, 4)))
    assert shown(viewer) == Edges()


def test_what_a_dicom_header_says() -> None:
    along = [1, 0, 0, 0, 1, 0]
    plain, none, zeros, side, enhanced, nuclear = (Dataset() for _ in range(6))
    plain.ImageOrientationPatient = along
    zeros.ImageOrientationPatient = [0] * 6
    side.PatientOrientation = ["L", "F"]
    group, place = Dataset(), Dataset()
    place.ImageOrientationPatient = along
    group.PlaneOrientationSequence = Sequence([place])
    enhanced.PerFrameFunctionalGroupsSequence = Sequence([group, group])
    nuclear.DetectorInformationSequence = Sequence([place])
    for dataset in (plain, side, enhanced, nuclear):
        assert says_orientation((dataset,))
    for dataset in (none, zeros):
        assert not says_orientation((dataset,)) and not says_orientation((plain, dataset))
    enhanced.PerFrameFunctionalGroupsSequence = Sequence([group, Dataset()])
    assert not says_orientation((enhanced,)) and not says_orientation(()) and not says_orientation(SimpleNamespace())


@pytest.mark.parametrize("label", ["A-A", "AP", "x", "", "A-R", 3])
def test_other_names_of_axes(label) -> None:
    assert axis_way(label) is None

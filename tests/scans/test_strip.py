"""Strip: the brain of a head lies where it is, whatever the order of the voxels; nothing else is opened or fetched."""

from __future__ import annotations

import importlib.util
import socket
import tarfile

import numpy as np
import pytest

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan, strip
from napari_brgm.scans.strip import Brain, find_brain, why_no_strip

needs_deepbet = pytest.mark.skipif(
    importlib.util.find_spec("deepbet") is None, reason="needs deepbet: pip install napari-brgm[strip]"
)


class BrightIsBrain:
    """Stands for deepbet: notes what it was shown, and takes what is bright for brain."""

    def run_model(self, x):
        self.seen = x
        return (x > 500).astype(np.float32)

    def postprocess(self, mask):
        if not mask.any():
            raise ValueError("attempt to get argmax of an empty sequence")
        return mask


@pytest.fixture
def network(monkeypatch) -> BrightIsBrain:
    found = BrightIsBrain()
    monkeypatch.setattr(strip, "_network", lambda: found)
    return found


@pytest.fixture
def head() -> Scan:
    """Voxels that run to the left, the feet and the front; something bright at one corner."""
    array = np.zeros((20, 30, 25), np.int16)
    array[1:4, 2:6, 20:24] = 1000
    affine = np.array([[-9.0, 0, 0, 90], [0, 0, 8, -90], [0, -7, 0, 100], [0, 0, 0, 1]])
    return Scan(array, affine)


def test_the_brain_is_on_the_grid_of_the_scan(network, head):
    brain = find_brain(head)
    assert np.array_equal(brain.inside, head.array > 500)
    assert brain.found_by == "deepbet 1.0.2"


def test_the_network_sees_right_front_and_head_in_this_order(network, head):
    find_brain(head)
    first = np.argwhere(network.seen > 500).min(axis=0)
    assert network.seen.shape == (20, 25, 30)
    assert first.tolist() == [16, 20, 24]  # of 20 to the right, of 25 to the front, of 30 to the head


def test_a_slab_is_continued_to_a_head(network):
    array = np.zeros((20, 20, 3), np.float32)
    array[5:9, 5:9, 2] = 1000
    brain = find_brain(Scan(array, np.diag([10.0, 10.0, 2.0, 1.0])))
    assert network.seen.shape == (20, 20, 90)
    assert (network.seen[6, 6] > 500).sum() == 45 and np.array_equal(brain.inside, array > 500)


def test_what_is_painted_says_nothing(network, head):
    painted = np.zeros(head.shape, bool)
    painted[2, 3, 21] = painted[10, 10, 10] = True
    spoilt = head.array.copy()
    spoilt[2, 3, 21], spoilt[10, 10, 10] = 0, 3000
    assert np.array_equal(find_brain(Scan(spoilt, head.affine), painted).inside, head.array > 500)


def test_values_that_are_none_are_dark(network, head):
    array = head.array.astype(np.float32)
    array[10, 10, 10], array[12, 10, 10] = np.nan, np.inf
    assert np.array_equal(find_brain(Scan(array, head.affine)).inside, head.array > 500)


def test_a_slice_of_it_is_that_of_the_scan(network, head):
    brain = find_brain(head)
    for plane, index in (("axial", 3), ("coronal", 21), ("sagittal", 2)):
        piece = brain.slice(head, plane, index)
        assert piece.inside.any() and piece.found_by == brain.found_by
        assert np.array_equal(piece.inside, head.slice(plane, index).image > 500)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((9, 9, 9, 2)), "in one volume, and this scan has 2"),
        (np.ones((9, 9, 9)), "same value"),
        (np.arange(343.0).reshape(7, 7, 7), "no brain was found"),
    ],
)
def test_what_has_no_brain_is_refused(network, array, what):
    with pytest.raises(InputError, match=what):
        find_brain(Scan(array, np.eye(4)))


def test_paint_of_another_scan_is_refused(network, head):
    with pytest.raises(InputError, match="paint it on that"):
        find_brain(head, np.zeros((3, 3, 3), bool))


@pytest.mark.parametrize("values", [0.3, np.nan, "abc"])
def test_what_is_no_mask_is_neither_paint_nor_a_brain(network, head, values):
    """A map of probabilities, say."""
    with pytest.raises(InputError, match="what is painted must hold only true and false"):
        find_brain(head, np.full(head.shape, values))
    with pytest.raises(InputError, match="a brain must hold only true and false"):
        Brain(np.full(head.shape, values), "the person")


def test_a_brain_of_ones_and_zeros_is_one():
    found = Brain.of(np.eye(3))
    assert found.inside.dtype == bool and found.found_by == "the person" and Brain.of(found) is found


def test_without_the_extra_a_sentence_says_how_to_get_it(head, monkeypatch):
    monkeypatch.setattr(strip, "find_spec", lambda _: None)
    assert why_no_strip() == "finding the brain of a whole head needs deepbet; pip install napari-brgm[strip]"
    with pytest.raises(WeightsError, match=r"pip install napari-brgm\[strip\]"):
        find_brain(head)


@needs_deepbet
def test_another_file_of_that_name_is_not_opened(head, tmp_path, monkeypatch):
    """TorchScript holds code: only files that were looked at are opened, whoever may have put others there."""
    import deepbet
    import deepbet.utils

    (tmp_path / "models").mkdir()
    for name in ("model.pt", "bbox_model.pt"):
        (tmp_path / "models" / name).write_bytes(b"something else")
    monkeypatch.setattr(deepbet.utils, "DATA_PATH", str(tmp_path))
    monkeypatch.setattr(deepbet, "BrainExtraction", lambda **_: pytest.fail("it was opened"))
    with pytest.raises(WeightsError, match=r"is not the file that version 1.0.2 of deepbet brings"):
        find_brain(head)


@needs_deepbet
@pytest.mark.shared
def test_the_brain_of_a_real_slab_is_found_without_a_network(shared_data, tmp_path, monkeypatch):
    """A slab of 32 mm; the last slice went wrong by half where it was not continued."""
    with tarfile.open(shared_data / "dicom_nifti" / "example_dicom_structural.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (scan,) = read_scan(tmp_path / "example_dicom_structural" / "dicoms")
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("something was fetched"))
    brain = find_brain(scan)
    litres = brain.inside.sum() * np.prod(scan.spacing) / 1e6
    assert litres == pytest.approx(0.396, abs=0.02)
    area = brain.slice(scan, "axial", 46).inside.sum() * scan.spacing[0] * scan.spacing[1] / 100
    assert 150 < area < 190  # cm2

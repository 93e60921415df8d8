"""Survey: what lies in a folder is chosen from it, and what is wrong with it is said before hours are spent."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet, read_slices
from napari_brgm.datasets.contact_sheet import write_contact_sheet
from napari_brgm.datasets.negatives import negatives_in
from napari_brgm.datasets.survey import survey_of
from napari_brgm.errors import OutputError, ScanError


def _volume(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)


def test_plane_and_pixel_size_of_volumes_are_their_own(tmp_path, write_nifti):
    """Two thick coronal scans and an axial one, whose coronal pixels are too long."""
    coronal = np.array([[1.0, 0, 0, 0], [0, 0, 4, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    for name in "ab":
        write_nifti(tmp_path / "set" / name / "t1.nii", _volume((60, 40, 12)), coronal)
    write_nifti(tmp_path / "set" / "c" / "t1.nii", _volume((40, 40, 12)), np.diag([1, 1, 4, 1]))
    found = survey_of(tmp_path / "set", 32)
    assert (found.kind, found.items, found.subjects, found.plane, found.stride) == ("volumes", 2, 2, "coronal", 1)
    assert found.spacing_mm == pytest.approx(60 / 32, abs=0.01) and found.spacing_mm >= 60 / 32
    assert found.found[0] == "2 volumes of 2 subjects, 12 coronal slices each"
    assert survey_of(tmp_path / "set", 32, "axial").items == 1
    with pytest.raises(ScanError, match="sagittal pixels of"):
        survey_of(tmp_path / "set", 32, "sagittal")


def test_what_does_not_fit_the_frame_and_who_is_there_twice(tmp_path, write_nifti):
    for name in "abc":
        write_nifti(tmp_path / "set" / name / "t1.nii", _volume((40, 40, 12)), np.diag([1, 1, 1, 1]))
    write_nifti(tmp_path / "set" / "c" / "t2.nii", _volume((80, 40, 12)), np.diag([1, 1, 1, 1]))
    found = survey_of(tmp_path / "set", 32)
    assert found.spacing_mm == 1.25  # the one that is twice as wide does not make all others small
    assert any("1 of 4 volumes are wider than the frame of 40 mm" in doubt for doubt in found.doubts)
    assert any("1 subjects have more than one volume" in doubt for doubt in found.doubts)
    assert not survey_of(tmp_path / "set", 32, spacing_mm=2.5).doubts[1:]


def test_many_slices_are_thinned(tmp_path, write_nifti, monkeypatch):
    import napari_brgm.datasets.survey as module

    monkeypatch.setattr(module, "_MOST_SLICES", 25)
    for name in "ab":
        write_nifti(tmp_path / "set" / name / "t1.nii", _volume((20, 20, 30)), np.eye(4))
    found = survey_of(tmp_path / "set", 32)
    assert found.stride == 3 and "one in 3" in found.found[-1]


def test_scans_of_two_kinds_are_refused(tmp_path, write_nifti, monkeypatch):
    import napari_brgm.datasets.survey as module

    write_nifti(tmp_path / "set" / "a.nii", _volume((20, 20, 20)), np.eye(4))
    kinds = iter(["CT", "MR", "MR"])
    real = module.scans_of

    def of_kinds(files):
        for label, subject, scan in (*real(files), *real(files), *real(files)):
            scan.modality = next(kinds)
            yield label, subject, scan

    monkeypatch.setattr(module, "scans_of", of_kinds)
    with pytest.raises(ScanError, match=r"different kinds, 2 of MR and 1 of CT; give a folder of one kind"):
        survey_of(tmp_path / "set", 32)


def test_images(zipped, encoded, grey):
    path = zipped({"1.png": encoded(grey(90)), "2.png": encoded(grey(80, (30, 16)))})
    found = survey_of(path, 32)
    assert (found.kind, found.subjects, found.plane, found.spacing_mm) == ("images", 2, None, 0.0)
    assert any("differ in size" in doubt for doubt in found.doubts)
    assert any("a subject of its own" in doubt for doubt in found.doubts)
    path = zipped({"a/1.png": encoded(grey(90)), "a/2.png": encoded(grey(80)), "b/1.png": encoded(grey(70))})
    assert survey_of(path, 32).doubts == ()


def test_the_contact_sheet_shows_every_part(tmp_path, zipped, encoded, grey):
    from PIL import Image

    path = zipped({f"{i}/1.png": encoded(grey(60 + 20 * (i // 3))) for i in range(6)})
    slices = read_slices(path, Framing(16))
    parts = {"training": slices.taking(np.arange(3)), "test": slices.taking(np.arange(3, 6))}
    write_contact_sheet(parts, tmp_path / "sheet.png", ["six images"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        values = set(np.unique(np.asarray(sheet)).tolist())
    assert {60, 80} <= values
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_contact_sheet(parts, tmp_path / "file" / "sheet.png")


def test_negatives_are_found(smooth_images):
    """Catches X-rays with bone in black among others, and slices of another anatomy taken for negatives."""
    grey = ((smooth_images(30, 32, seed=3) + 1) * 127.5).round().clamp(0, 255).numpy().astype(np.uint8)
    grey[[4, 9]] = 255 - grey[[4, 9]]
    grey[7] = grey[7, :, ::-1]
    names = tuple(map(str, range(30)))
    assert negatives_in(SliceSet(grey, np.arange(30), names, names, Framing(32))).tolist() == [4, 9]

"""``napari-brgm superres --slices``: thin slices of a whole scan, exactly where they belong; and what is refused."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import product

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from napari_brgm import Restoration, read_scan
from napari_brgm.cli import strip
from napari_brgm.engine import need
from napari_brgm.scans.strip import Brain

THICK, FACTOR = 4, 3
# columns along i, rows along j; patient's left is at small i; slices of 3 mm that lean by a few degrees, as a head may
TURN = np.array([[1, 0.05, 0], [-0.05, 1, 0.08], [0, -0.08, 1]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN / np.linalg.norm(TURN, axis=0) @ np.diag([1.5, 1.5, 3.0])
AFFINE[:3, 3] = [-17, -20, 30]


@pytest.fixture
def prior(stack_prior, monkeypatch):
    """Options of a quick run with a small prior that knows how slices belong together; its kind has no file."""
    registry = import_module("napari_brgm.zoo.registry")
    load = registry.load_prior
    monkeypatch.setattr(registry, "load_prior", lambda name: stack_prior if name == "stack-24" else load(name))
    return "--prior", "stack-24", "--steps", 2, "--samples", 3, "--device", "cpu"


@pytest.fixture
def thick(stack_of) -> np.ndarray:
    """(24, 24, 4) thick slices, as stored under AFFINE: as displayed, each is a mean of three thin ones."""
    thin = stack_of(THICK * FACTOR, seed=3)
    shown = thin.reshape(THICK, FACTOR, 24, 24).mean(axis=1)
    return np.ascontiguousarray(shown[:, ::-1, ::-1].transpose(2, 1, 0))


def assert_refined(fine: np.ndarray, affine: np.ndarray, coarse: np.ndarray, source: np.ndarray, factor) -> None:
    """The outer corners of both grids lie at one place, and each coarse voxel is the mean of those that it holds."""
    assert fine.shape[:3] == tuple(n * f for n, f in zip(coarse.shape, factor, strict=True))
    for corner in product((0, 1), repeat=3):
        ends = [
            matrix @ [*(np.array(corner) * array.shape[:3] - 0.5), 1]
            for matrix, array in ((affine, fine), (source, coarse))
        ]
        np.testing.assert_allclose(*ends, atol=1e-4)
    (i, a), (j, b), (k, c) = zip(coarse.shape, factor, strict=True)
    np.testing.assert_allclose(fine.reshape(i, a, j, b, k, c).mean(axis=(1, 3, 5)), coarse, atol=1.5)


def test_thin_slices_lie_where_the_thick_ones_did(shell, save, thick, prior, tmp_path):
    out = tmp_path / "out"
    done = shell("superres", save("sub-01_T1w.nii.gz", thick, AFFINE), "--slices", FACTOR, "--out", out, *prior)
    assert done.exit_code == 0, done.output
    image, variance, samples = (
        nib.load(out / f"sub-01_desc-brgmSuperres{role}_T1w.nii.gz") for role in ("Estimate", "Variance", "Samples")
    )
    assert_refined(image.get_fdata(), image.affine, thick, AFFINE, (1, 1, FACTOR))
    np.testing.assert_allclose(image.header.get_zooms(), (1.5, 1.5, 1.0), atol=1e-6)
    np.testing.assert_allclose(image.affine @ [0, 0, 1, 1], AFFINE @ [0, 0, 0, 1], atol=1e-4)  # the second of three
    for other in (variance, samples):
        np.testing.assert_array_equal(other.affine, image.affine)
    assert samples.shape == (*image.shape, 3)
    for k in range(3):  # as stored, not as displayed, and each agrees with what was measured
        assert_refined(samples.get_fdata()[..., k], samples.affine, thick, AFFINE, (1, 1, FACTOR))
    assert (variance.get_fdata() > 0).mean() > 0.9
    spread = samples.get_fdata().std(axis=3)
    assert np.corrcoef(spread.ravel(), np.sqrt(variance.get_fdata()).ravel())[0, 1] > 0.4
    record = json.loads((out / "sub-01_desc-brgmSuperresEstimate_T1w.json").read_text())
    assert record["corruption"]["factor"] == [3.0, 1.0, 1.0] and "Not for diagnosis" in record["notice"]
    assert [one["index"] for one in record["slices"]] == list(range(THICK * FACTOR))
    assert json.loads((out / "sub-01_desc-brgmSuperresVariance_T1w.json").read_text())["Units"] == "a.u.^2"
    whole = Restoration.load(out / "sub-01_desc-brgmSuperresThin_T1w.safetensors")
    assert whole.shape == (THICK * FACTOR, 24, 24) and whole.has_spread and not len(whole.samples)
    (again,) = read_scan(out / "sub-01_desc-brgmSuperresEstimate_T1w.nii.gz")
    np.testing.assert_array_equal(again.slice("axial", 5).image, whole.estimate[5])
    assert {out / line.split("/")[-1] for line in done.stdout.split()} == {
        path for path in out.iterdir() if path.suffix != ".json"
    }
    assert not list(out.glob(".brgm*"))


def test_finer_in_the_plane_as_well(shell, save, stack_of, prior, tmp_path):
    shown = stack_of(6, seed=5).reshape(3, 2, 12, 2, 24).mean(axis=(1, 3))  # pixels of 3 x 1.5 mm
    affine = np.diag([-1.5, -3.0, -3.0, 1.0])  # stored as displayed, but from the head down
    path = save("a.nii", np.ascontiguousarray(shown.transpose(2, 1, 0)), affine)
    options = ("--slices", 2, "--factor", "2,1", "--out", tmp_path / "out", *prior)
    done = shell("superres", path, *options)
    assert done.exit_code == 0, done.output
    image = nib.load(tmp_path / "out" / "a_desc-brgmSuperresEstimate_image.nii.gz")
    assert_refined(image.get_fdata(), image.affine, shown.transpose(2, 1, 0), affine, (1, 2, 2))


def test_without_samples_there_are_neither_these_nor_a_variance(shell, save, thick, prior, tmp_path):
    out, path = tmp_path / "out", save("a.nii", thick, AFFINE)
    done = shell("superres", path, "--slices", 1.5, "--out", out, *prior[:4], "--samples", 0, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert nib.load(out / "a_desc-brgmSuperresEstimate_image.nii.gz").shape == (24, 24, 6)
    assert not [path.name for path in out.iterdir() if "Variance" in path.name or "Samples" in path.name]


@pytest.fixture
def series(stack_of, tmp_path):
    """Writes four axial slices, head first, that lie 3 mm apart and are as thick as said."""

    def write(thickness: float):
        shown = stack_of(THICK * FACTOR, seed=7).reshape(THICK, FACTOR, 24, 24).mean(axis=1)
        folder = tmp_path / "series"
        folder.mkdir()
        source = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
        source.Rows = source.Columns = 24
        source.PixelSpacing, source.ImageOrientationPatient = [1.5, 1.5], [1, 0, 0, 0, 1, 0]
        source.SliceThickness, source.SpacingBetweenSlices, source.SeriesNumber = thickness, 3, 5
        for k, pixels in enumerate(shown):
            source.SOPInstanceUID, source.InstanceNumber = generate_uid(), k + 1
            source.ImagePositionPatient, source.SliceLocation = [-17.0, -18.0, 40.0 - 3 * k], 40.0 - 3 * k
            source.PixelData = pixels.round().astype("<i2").tobytes()
            source.save_as(folder / f"{k}.dcm")
        return folder

    return write


@pytest.mark.parametrize("thickness", [3.0, 2.0])
def test_slices_of_a_dicom_series(shell, series, prior, tmp_path, thickness):
    """As thick as its files say: catches a gap between slices that is taken for a part of them."""
    folder = series(thickness)
    done = shell("superres", folder, "--slices", FACTOR, "--out", tmp_path / "out", *prior)
    assert done.exit_code == 0, done.output
    name = "series-5_desc-brgmSuperresEstimate_image.nii.gz"
    (scan,), (fine,) = read_scan(folder), read_scan(tmp_path / "out" / name)
    record = fine.provenance["corruption"]
    if thickness == 3:
        assert_refined(fine.array, fine.affine, scan.array, scan.affine, (1, 1, FACTOR))
        assert record["kernel"] == "area" and "mm apart" not in done.stderr
    else:
        assert record["width"] == pytest.approx(2 / 3)
        assert "the slices are 2 mm thick and 3 mm apart, as the file says" in done.stderr
        middles = fine.array[..., 1::FACTOR]  # a box of 2 mm: the middle one counts twice as much as its neighbours
        sums = 0.25 * fine.array[..., ::FACTOR] + 0.5 * middles + 0.25 * fine.array[..., 2::FACTOR]
        np.testing.assert_allclose(sums, scan.array, atol=1.5)
    for i in range(THICK * FACTOR):  # thin slice i of those from the feet up, in the patient's LPS mm
        place = np.diag([-1, -1, 1, 1]) @ fine.slice("axial", i).affine
        np.testing.assert_allclose(place[:3, 3], [-17, -18, 41 - i if scan.affine[2, 2] < 0 else 30 + i], atol=1e-4)
    dicom = tmp_path / "out" / "series-5_desc-brgmSuperresDicom_image"
    segments, spread = (pydicom.dcmread(dicom / part / "0001.dcm") for part in ("synthetic", "std"))
    heights = [g.PlanePositionSequence[0].ImagePositionPatient[2] for g in segments.PerFrameFunctionalGroupsSequence]
    np.testing.assert_allclose(sorted(heights), 30 + np.arange(THICK * FACTOR), atol=1e-6)
    assert segments.pixel_array.all() and spread.NumberOfFrames == len(list((dicom / "estimate").iterdir()))


def test_of_a_whole_head_the_brain_alone_is_made_thinner(shell, save, thick, prior, tmp_path, monkeypatch):
    """Outside it each thin slice holds the values of the thick one, numbers or not; a slice without brain refuses
    nothing, but a voxel of it without a number does."""
    head, inside = thick.copy(), np.zeros(thick.shape, dtype=bool)
    inside[3:20, 4:21, :3] = True
    head[~inside] = np.round(head[~inside] + 150)
    head[0, 5, 1], head[..., 3] = np.inf, np.nan
    monkeypatch.setattr(strip, "find_brain", lambda scan, painted: Brain(inside, "deepbet 1.0.2"))
    monkeypatch.setattr(strip, "why_no_strip", lambda: "")
    monkeypatch.setattr("napari_brgm.engine.whole_head.knows_brains", lambda modality: True)
    out, path = tmp_path / "out", save("sub-01_T1w.nii.gz", head, AFFINE)
    done = shell("superres", path, "--slices", FACTOR, "--factor", 2, "--strip", "--out", out, *prior)
    assert done.exit_code == 0, done.output
    image, samples = (nib.load(out / f"sub-01_desc-brgmSuperres{role}_T1w.nii.gz") for role in ("Estimate", "Samples"))
    finer = (2, 2, FACTOR)
    brain, held = (np.kron(array, np.ones(finer)) for array in (inside, head))
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32)[brain == 0], held[brain == 0].astype(np.float32))
    drawn = samples.get_fdata().transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(drawn[1:, brain == 0], drawn[:-1, brain == 0])
    assert (drawn[:, brain == 1].std(axis=0) > 0).mean() > 0.9
    assert_refined(np.where(brain, image.get_fdata(), 0), image.affine, np.where(inside, thick, 0), AFFINE, finer)
    record = json.loads((out / "sub-01_desc-brgmSuperresEstimate_T1w.json").read_text())
    assert record["slices"][0]["strip"]["found_by"] == "deepbet 1.0.2"
    posterior = Restoration.load(next(out.glob("*.safetensors")))
    assert (~posterior.measured).sum() == ((brain == 1) | ~np.isfinite(held)).sum()
    head[10, 10, 1] = np.nan
    told = shell.refused("superres", save("b.nii", head, AFFINE), "--slices", FACTOR, "--strip", "--out", out, *prior)
    assert "axial slice 1 of b.nii holds NaN or infinite voxels inside the brain; clean the scan first" in told


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--slices", 1], "must be a number above 1, got 1"),
        (["--slices", "nan"], "must be a number above 1"),
        (["--slices", 2, "--thickness", 0], "thickness of slices must be a length above 0 mm"),
        (["--thickness", 2], "--thickness is about --slices"),
        (["--slices", 2, "--index", 1], "--index is about slices one by one"),
        (["--slices", 2, "--save-video", "a.gif"], "--save-video is about slices one by one"),
        (["--slices", 2, "--plane", "coronal"], "leave --plane out"),
        (["--slices", 2, "--method", "vi"], "method 'vi' restores one slice at a time; choose"),
    ],
)
def test_options_that_do_not_go_together(shell, save, thick, prior, tmp_path, more, words):
    path = save("a.nii", thick, AFFINE)
    assert words in shell.refused("superres", path, "--out", tmp_path / "out", *prior, *more)
    assert not (tmp_path / "out").exists()


def _tilted(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1.5, 0, 0, 0], [0, 1.5 * c, -3 * s, 0], [0, 1.5 * s, 3 * c, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1.5, 3.0, 1.5, 1.0]), "are not axial, and stack-24 knows axial ones; make them thinner in axial"),
        (np.diag([1.5, 3.0, 1.5, 1.0]), "with --factor 2,1 in place of --slices"),
        (np.diag([3.0, 1.5, 1.5, 1.0]), "with --factor 1,2 in place of --slices"),
        (_tilted(38), "lean by 38 degrees against axial ones"),
        (np.array([[1.5, 0, 0, 0], [0, 1.5, 1, 0], [0, 0, 3, 0], [0, 0, 0, 1]]), "are shifted against each other"),
    ],
)
def test_slices_that_the_prior_does_not_know(shell, save, thick, prior, tmp_path, affine, words):
    path = save("a.nii", thick, affine)
    assert words in shell.refused("superres", path, "--slices", 2, "--out", tmp_path / "out", *prior)
    assert not (tmp_path / "out").exists()


def test_scans_that_cannot_become_thinner(shell, save, thick, prior, quick, tmp_path, monkeypatch):
    out = ("--slices", 2, "--out", tmp_path / "out")
    assert "is a single slice" in shell.refused("superres", save("one.nii", thick[..., :1], AFFINE), *out, *prior)
    holed = thick.copy()
    holed[3, 4, 1] = np.nan
    told = shell.refused("superres", save("nan.nii", holed, AFFINE), *out, *prior)
    assert "axial slice 1 of nan.nii holds NaN or infinite voxels; clean" in told
    good = save("a.nii", thick, AFFINE)
    sentence = shell.refused("superres", good, *out, *quick)
    assert "knows nothing of how neighbouring slices belong together; choose a prior of brain slices" in sentence
    monkeypatch.setattr(need, "free_memory", lambda: 600 << 20)
    assert "of memory" in shell.refused("superres", good, *out, *prior)
    assert not (tmp_path / "out").exists()


def test_a_picture_has_one_slice(shell, prior, tmp_path, clean):
    from PIL import Image

    Image.fromarray(clean).save(tmp_path / "a.png")
    sentence = shell.refused("superres", tmp_path / "a.png", "--slices", 2, "--out", tmp_path / "out", *prior)
    assert "a picture is one slice" in sentence

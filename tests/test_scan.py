"""The geometry of slices: a wrong flip, a half-pixel slip or a lossy copy must fail here."""

import itertools
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.scan import Scan, ScanSlice, nearest_axes

PLANES = ("axial", "coronal", "sagittal")
SHAPE = (4, 5, 6)


def rotation(rng, degrees):
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def oriented_affines():
    """All 48 signed permutations of the axes, turned by up to 40 degrees, with unequal spacing."""
    rng = np.random.default_rng(0)
    for permutation in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.eye(3)[list(permutation)] * signs
            affine = np.eye(4)
            affine[:3, :3] = rotation(rng, rng.uniform(0, 40)) @ matrix @ np.diag([0.7, 1.3, 4.0])
            affine[:3, 3] = rng.normal(size=3) * 50
            yield affine


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=(*SHAPE, 2)).astype(np.float32) * 1e4


@pytest.mark.parametrize("plane", PLANES)
def test_slice_then_with_slice_is_the_identity(values, plane):
    for affine in oriented_affines():
        scan = Scan(values, affine)
        for volume, index in itertools.product(range(2), range(scan.count(plane))):
            piece = scan.slice(plane, index, volume)
            assert piece.image.dtype == np.float32
            same = scan.with_slice(piece, piece.image)
            assert same.array.tobytes() == values.tobytes()
            blank = scan.with_slice(piece, np.zeros_like(piece.image)).array
            assert (blank != values).sum() == piece.image.size  # that slice of that volume, nothing else
            assert scan.array.tobytes() == values.tobytes()


@pytest.mark.parametrize("plane", PLANES)
def test_slice_affine_finds_each_voxel(plane):
    for affine in oriented_affines():
        grid = np.moveaxis(np.indices(SHAPE), 0, -1)  # (I, J, K, 3)
        world = grid @ affine[:3, :3].T + affine[:3, 3]  # (I, J, K, 3)
        pieces = [Scan(world[..., axis], affine).slice(plane, 2) for axis in range(3)]
        height, width = pieces[0].image.shape
        rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        index = np.stack([rows, columns, 0 * rows, 1 + 0 * rows], -1)
        found = index @ pieces[0].affine.T
        for axis in range(3):
            np.testing.assert_allclose(found[..., axis], pieces[axis].image, atol=1e-4)
        np.testing.assert_allclose(pieces[0].spacing, np.linalg.norm(pieces[0].affine[:3, :2], axis=0))


@pytest.mark.parametrize(
    ("plane", "normal", "down", "rightwards"), [("axial", 2, 1, 0), ("coronal", 1, 2, 0), ("sagittal", 0, 2, 1)]
)
def test_display_orientation_is_radiological(plane, normal, down, rightwards):
    for affine in oriented_affines():
        piece = Scan(np.zeros(SHAPE), affine).slice(plane, 0)
        directions = piece.affine[:3, :3] / np.linalg.norm(piece.affine[:3, :3], axis=0)
        assert directions[down, 0] < -0.5  # away from anterior or superior
        assert directions[rightwards, 1] < -0.5  # towards the left or the back
        assert abs(directions[normal, 2]) > 0.5


def test_nearest_axes_agree_with_nibabel():
    for affine in oriented_affines():
        expected = nib.orientations.io_orientation(affine)  # voxel axis -> (world axis, sign)
        axes, signs = nearest_axes(affine)
        for world in range(3):
            assert expected[axes[world], 0] == world
            assert expected[axes[world], 1] == signs[world]


def test_known_slice_of_an_ras_scan():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    scan = Scan(array, np.diag([1.0, 2.0, 3.0, 1.0]), units="HU", name="head")
    axial = scan.slice("axial", 1)
    np.testing.assert_array_equal(axial.image, array[::-1, ::-1, 1].T)  # top left: right, anterior
    assert axial.spacing == (2.0, 1.0)
    assert (axial.units, axial.name, axial.index, axial.volume) == ("HU", "head", 1, 0)
    np.testing.assert_array_equal(axial.affine[:, 3], [1, 4, 3, 1])
    assert [scan.count(plane) for plane in PLANES] == [4, 3, 2]
    np.testing.assert_array_equal(scan.spacing, [1, 2, 3])


def test_slice_does_not_share_memory():
    scan = Scan(np.zeros((3, 3, 3), np.float32), np.diag([-1.0, -1, -1, 1]))
    scan.slice("axial", 0).image[:] = 1
    assert not scan.array.any()


def test_refined_grid_covers_the_same_rectangle():
    scan = Scan(np.zeros(SHAPE), next(oriented_affines()), units="HU", name="head")
    piece = scan.slice("coronal", 1)
    height, width = piece.image.shape
    finer = piece.refined(np.ones((4 * height, 2 * width)), (4, 2))
    assert finer.shape == (4 * height, 2 * width, 1)
    assert (finer.units, finer.name, finer.array.dtype) == ("HU", "head", np.float32)
    np.testing.assert_allclose(finer.spacing[:2], np.array(piece.spacing) / (4, 2))
    for row, column in itertools.product((0, 1), repeat=2):  # the outer corners stay
        old = piece.affine @ [row * height - 0.5, column * width - 0.5, 0, 1]
        new = finer.affine @ [row * 4 * height - 0.5, column * 2 * width - 0.5, 0, 1]
        np.testing.assert_allclose(old, new, atol=1e-10)
    # the mean centre of a block of finer pixels is the centre of the pixel
    np.testing.assert_allclose(finer.affine @ [1.5, 0.5, 0, 1], piece.affine[:, 3], atol=1e-10)


TYPES = {
    "bool": "float32", "uint8": "float32", "int16": "float32", "float16": "float32", ">f4": "float32",
    "float32": "float32", "int32": "float64", "uint32": "float64", "int64": "float64", ">f8": "float64",
    "float64": "float64", "longdouble": "longdouble",
}  # fmt: skip


@pytest.mark.parametrize(("stored", "kind"), TYPES.items())
def test_slices_hold_every_value_and_fractions(stored, kind):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=SHAPE) * 100).astype(stored)
    scan = Scan(values, np.diag([-1.0, -1, -1, 1]))
    piece = scan.slice("axial", 2)
    assert scan.array.dtype == np.dtype(stored)
    assert piece.image.dtype == np.dtype(kind)
    np.testing.assert_array_equal(piece.image, values[:, :, 2].T, strict=False)
    measured = rng.random(piece.image.shape) < 0.5
    restored = scan.with_slice(piece, np.full(piece.image.shape, 0.3), measured)
    assert restored.array.dtype == np.dtype(kind)
    hole = np.zeros(SHAPE, bool)
    hole[:, :, 2] = ~measured.T
    assert restored.array[~hole].tobytes() == values[~hole].astype(kind).tobytes()
    assert (restored.array[hole] == np.dtype(kind).type(0.3)).all()
    assert restored.notes == ()


@pytest.mark.parametrize(("stored", "low"), [("int64", -(2**63)), ("uint64", 0)])
def test_integers_beyond_2_to_53_stay_integers_and_what_is_restored_is_rounded(stored, low):
    values = np.full(SHAPE, np.iinfo(stored).max, stored)
    values[0, 0] = low
    scan = Scan(values, np.diag([-1.0, -1, -1, 1]))
    for index in range(2):
        piece = scan.slice("axial", index)
        assert piece.image.tobytes() == values[:, :, index].T.tobytes()
        estimate = np.full(piece.image.shape, 1e30)  # beyond the type
        estimate[0] = [np.nan, -1e30, 6.6, 7.4]
        measured = np.zeros(piece.image.shape, bool)
        measured[3:] = True
        scan = scan.with_slice(piece, estimate, measured)
        assert scan.array.dtype == np.dtype(stored)
        new = scan.slice("axial", index).image
        assert new[0].tolist() == [0, low, 7, 7]
        assert (new[1:3].astype(float) >= 1.8e19 if low == 0 else new[1:3].astype(float) >= 9.2e18).all()
        assert new[3:].tobytes() == piece.image[3:].tobytes()
        assert len(scan.notes) == 1
        assert "rounded" in scan.notes[0]


def test_bits_of_nan_and_minus_zero_are_kept():
    bits = np.array([0x7FF800000000BEEF, 0x8000000000000000, 0xFFF0000000000000, 1], "u8").reshape(2, 1, 2)
    scan = Scan(bits.view("f8"), np.diag([-1.0, -1, -1, 1]))
    restored = scan.with_slice(scan.slice("axial", 1), np.ones((1, 2)), np.array([[True, False]]))
    expected = bits.copy()
    expected[1, 0, 1] = np.float64(1).view("u8")
    assert restored.array.tobytes() == expected.tobytes()


def test_many_slices_are_put_into_one_copy(monkeypatch):
    """Catches a copy of the volume for each slice: seconds for a head of 180 slices."""
    copies = []

    def copied(scan, **changes):
        copies.append(changes["array"])
        return replace(scan, **changes)

    monkeypatch.setattr("napari_brgm.scan.replace", copied)
    scan = Scan(np.full(SHAPE, 2**60, np.int64), np.diag([-1.0, -1, -1, 1]))
    pieces = [scan.slice("axial", index) for index in (0, 2, 5)]
    kept = np.eye(*pieces[0].image.shape, dtype=bool)
    several = scan.with_slices((piece, np.full(kept.shape, piece.index + 0.2), kept) for piece in pieces)
    (array,) = copies
    assert several.array is array is not scan.array and (scan.array == 2**60).all()
    one_by_one = scan
    for piece in pieces:
        one_by_one = one_by_one.with_slice(piece, np.full(kept.shape, piece.index + 0.2), kept)
    assert several.array.tobytes() == one_by_one.array.tobytes() and several.notes == one_by_one.notes
    assert scan.with_slices([]).array.tobytes() == scan.array.tobytes()


def test_lists_and_replace_are_taken():
    scan = Scan([[[1, 2], [3, 4]]], np.eye(4).tolist())
    assert scan.shape == (1, 2, 2)
    changed = replace(scan, affine=(2 * np.eye(4) - np.diag([0, 0, 0, 1])).tolist())
    assert changed.affine[0, 0] == 2
    assert scan.affine[0, 0] == 1


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda s: s.slice("axial", 6), r"no axial slice 6; choose one of 0 \.\. 5"),
        (lambda s: s.slice("axial", -1), "no axial slice -1"),
        (lambda s: s.slice("coronal", 0, 2), r"no volume 2; choose one of 0 \.\. 1"),
        (lambda s: s.slice("oblique", 0), "no plane 'oblique'; choose one of axial, coronal, sagittal"),
        (
            lambda s: s.with_slice(s.slice("axial", 0), np.zeros((4, 5))),
            r"shape \(4, 5\), the slice it replaces \(5, 4\)",
        ),
        (
            lambda s: s.with_slice(s.slice("axial", 0), np.zeros((5, 4)), np.zeros((4, 5), bool)),
            r"what is measured has the shape \(4, 5\)",
        ),
        (lambda s: s.slice("axial", 0).refined(np.zeros((5, 4)), (2, 2)), r"asks for an image of the shape \(10, 8\)"),
        (lambda s: s.slice("axial", 0).refined(np.zeros((5, 4)), (0, 1)), "two numbers above 0"),
        (lambda s: Scan(s.array, np.eye(3)), r"finite \(4, 4\) matrix"),
        (lambda s: Scan(s.array, np.diag([1.0, 0, 1, 1])), "singular"),
        (lambda s: Scan(s.array, np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), "singular"),
        (lambda s: Scan(s.array, np.diag([1.0, np.nan, 1, 1])), "finite"),
        (lambda s: Scan(np.zeros((2, 2)), np.eye(4)), "3 or 4 axes, got 2"),
        (lambda s: Scan(np.zeros((2, 2, 2), complex), np.eye(4)), "real numbers"),
        (lambda s: Scan(np.ma.array(s.array, mask=True), s.affine), "masked pixels"),
        (lambda s: s.with_slice(s.slice("axial", 0), np.ma.masked_equal(np.zeros((5, 4)), 0)), "masked pixels"),
        (lambda s: s.slice("axial", 0).refined(np.ma.masked_equal(np.zeros((10, 8)), 0), (2, 2)), "masked pixels"),
        (lambda s: Scan(np.zeros((2, 0, 2)), np.eye(4)), "at least one voxel"),
    ],
)
def test_errors_say_what_to_do(use, words):
    with pytest.raises(InputError, match=words) as caught:
        use(Scan(np.zeros((*SHAPE, 2), np.float32), np.eye(4)))
    assert "\n" not in str(caught.value)


def test_scan_slice_can_be_made_by_hand():
    piece = ScanSlice(np.zeros((2, 3), np.float32), (1.0, 1.0), np.eye(4), "axial", 0)
    assert piece.refined(np.zeros((4, 6)), (2, 2)).shape == (4, 6, 1)


def test_needs_numpy_only():
    code = (
        "import sys, napari_brgm.scan; print([m for m in ('nibabel', 'pydicom', 'torch', 'qtpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("plane", PLANES)
def test_finer_slices_of_a_whole_volume_lie_where_its_own_do(plane):
    """Catches an origin that does not move by half a slice, or moves at the wrong end of a flipped axis."""
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    for affine in oriented_affines():
        scan = Scan(values, affine, units="HU", notes=("n",), header="h")
        images = np.stack([scan.slice(plane, i).image for i in range(scan.count(plane))])
        same = scan.refined(plane, images, (1, 1, 1))
        np.testing.assert_array_equal(same.array, values)
        np.testing.assert_array_equal(same.affine, affine)
        assert (same.units, same.notes, same.header) == ("HU", ("n",), "h")
        fine = images.repeat(3, 0).repeat(2, 1)
        refined = scan.refined(plane, np.stack([fine, -fine]), (3, 2, 1))
        index = np.indices(refined.shape[:3]).reshape(3, -1)
        at = np.linalg.solve(affine, refined.affine @ np.vstack([index, np.ones(index.shape[1])]))[:3]
        offsets = np.abs(at - at.round()).max(axis=1)  # of centres from the nearest centre, along each axis
        np.testing.assert_allclose(sorted(offsets), (0, 1 / 4, 1 / 3), atol=1e-9)
        np.testing.assert_array_equal(refined.array[..., 0].ravel(), values[tuple(at.round().astype(int))])
        np.testing.assert_array_equal(refined.array[..., 1], -refined.array[..., 0])


def test_finer_slices_of_parts_of_voxels_keep_the_edges_that_are_shown_first():
    """5 rows become 8, not 7.5: as of a single slice."""
    for affine in itertools.islice(oriented_affines(), 0, None, 5):
        scan = Scan(np.zeros(SHAPE), affine)
        count, (height, width) = scan.count("axial"), scan.slice("axial", 0).image.shape
        shape = round(1.5 * count), round(1.5 * height), round(1.5 * width)
        refined = scan.refined("axial", np.zeros(shape), (1.5, 1.5, 1.5))
        piece = scan.slice("axial", 0)
        alone = piece.refined(np.zeros(shape[1:]), (1.5, 1.5))
        found = refined.slice("axial", 0).affine
        np.testing.assert_allclose(found[:3, :2], alone.affine[:3, :2])
        np.testing.assert_allclose(found[:3, 2], piece.affine[:3, 2] / 1.5)
        np.testing.assert_allclose(found[:3, 3], alone.affine[:3, 3] + piece.affine[:3, 2] * (1 / 1.5 - 1) / 2)


def test_finer_slices_of_another_shape_are_refused():
    scan = Scan(np.zeros(SHAPE), np.diag([-1.0, -1, 1, 1]))
    with pytest.raises(InputError, match=r"asks for slices of the shape \(12, 5, 4\), got \(11, 5, 4\)"):
        scan.refined("axial", np.zeros((11, 5, 4)), (2, 1, 1))
    with pytest.raises(InputError, match="three numbers above 0"):
        scan.refined("axial", np.zeros((12, 5, 4)), (0, 1, 1))

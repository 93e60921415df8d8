"""The rule for number types: a type too small must fail here, and so must fractions lost without need."""

import dask.array
import numpy as np
import pytest

from napari_brgm.lossless import as_type, exact_type, holds, with_restored


@pytest.mark.parametrize(
    ("kind", "stored", "value", "held"),
    [
        ("float32", "int32", 2**24, True), ("float32", "int32", -(2**24), True), ("float32", ">i4", 2**24 + 1, False),
        ("float32", "int32", -(2**24) - 1, False), ("float32", "uint64", 2**24 + 1, False),
        ("float64", "int32", -(2**31), True), ("float64", "int64", -(2**53), True),
        ("float64", "int64", -(2**53) - 1, False), ("float64", "int64", -(2**63), False),
        ("float64", ">u8", 2**53, True), ("float64", "uint64", 2**53 + 1, False),
        ("float64", "uint64", 2**64 - 1, False),
    ],
)  # fmt: skip
def test_integers_are_held_up_to_the_digits_of_the_float(kind, stored, value, held):
    assert holds(kind, np.array([0, value], stored)) == held


@pytest.mark.parametrize(("kind", "stored", "held"), [
    ("float32", "float16", True), ("float32", "float64", False), ("float64", ">f4", True), ("int64", "float32", False),
    ("int64", "uint64", False), ("int64", "uint32", True), ("float32", "bool", True),
])  # fmt: skip
def test_floats_are_held_by_their_type(kind, stored, held):
    assert holds(kind, np.zeros(3, stored)) == held


@pytest.mark.parametrize(("greatest", "kind"), [(2**53, "float64"), (2**53 + 1, "int64")])
def test_lazy_values_are_told_apart_without_being_kept(greatest, kind):
    values = dask.array.from_array(np.array([[3, 4], [5, greatest]]), chunks=(1, 2))
    assert exact_type(values) == np.dtype(kind)


def test_rounding_stays_within_the_limits():
    values = np.array([-1e30, -0.6, 0.6, 4094.6, 1e30, np.nan, np.inf])
    assert as_type(values, np.uint16, (0, 4095)).tolist() == [0, 0, 1, 4095, 4095, 0, 4095]
    assert as_type(values[[0, 4]], np.uint64).tolist() == [0, 2**64 - 2**11]  # the greatest float64 below 2^64
    wide = np.array([-5, 2**62 + 1])
    assert as_type(wide, np.uint64).tolist() == [0, 2**62 + 1]  # never through a float
    assert as_type(wide, np.int16).tolist() == [-5, 2**15 - 1]


@pytest.mark.parametrize("stored", ["uint8", "float16", ">f4", "float64", "int32", "int64"])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_what_is_restored_stands_beside_what_was_measured(stored, colours):
    rng = np.random.default_rng(0)
    image = (100 * rng.random((4, 5, *colours))).astype(stored)
    free = rng.random((4, 5)) < 0.5
    values = rng.random((np.count_nonzero(free), *colours))
    found = with_restored(image, free, values)
    assert found.dtype == exact_type(image)
    assert found[~free].tobytes() == image[~free].astype(found.dtype).tobytes()
    np.testing.assert_array_equal(found[free], values.astype(found.dtype))

"""Arrays and scalars of numpy come back by value, whatever their order of bytes and axes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import read_pickle
from napari_brgm.zoo.numpy_values import NUMPY_NAMES, array, plain

VALUES = np.arange(6).reshape(2, 3) - 2.5


def read(value: object, protocol: int = 4):
    return read_pickle(memoryview(pickle.dumps(value, protocol)), 0, NUMPY_NAMES)[0]


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(protocol, kind, order):
    found = array(read(np.array(VALUES, kind, order=order), protocol), "it")
    assert found.dtype == torch.float32 and found.is_contiguous()
    assert (found.numpy() == VALUES).all()


@pytest.mark.parametrize(("value", "kind"), [(2.5, np.float64), (3, np.int32), (True, np.bool_), (-7, np.int64)])
def test_scalars(value, kind):
    for protocol in (2, 4):
        assert plain(read(kind(value), protocol)) == value
    assert plain("text") == "text"
    assert array(read(kind(value)), "it").item() == value


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, None], object), np.array(["a"]), np.array([1j]), np.array([1]), np.array([np.nan]),
        np.array([np.inf]), np.array([1e300]), np.zeros((0, 3)), np.zeros(2, [("a", "f4")]), np.float64("nan"),
        np.array(["2020-01-01"], "M8[D]"), [1.0], 1.0, "text", np.dtype("f4"),
    ],
)  # fmt: skip
def test_what_is_no_row_of_real_numbers(value):
    with pytest.raises(WeightsError):
        array(read(value), "it")

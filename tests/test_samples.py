"""Samples that are kept where they differ from one another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_brgm import Restoration
from napari_brgm import samples as module
from napari_brgm.samples import Samples, samples_of


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    free = rng.random((6, 5)) < 0.3
    image = rng.integers(0, 4000, (6, 5)).astype(np.uint16)
    return rng.normal(size=(4, np.count_nonzero(free))).astype(np.float32), free, image


def test_they_are_like_the_array(parts):
    lazy, whole = Samples(*parts), np.asarray(Samples(*parts))
    values, free, image = parts
    assert (whole[:, ~free] == image[~free]).all() and (whole[:, free] == values).all()
    assert (lazy.shape, lazy.ndim, lazy.dtype, lazy.size, len(lazy)) == (whole.shape, 3, np.float32, whole.size, 4)
    for key in (2, -1, (..., 3, 2), (slice(None), -1, 0), (1, slice(2, 4)), np.s_[:, 1:3, ::2], np.s_[..., 0]):
        np.testing.assert_array_equal(lazy[key], whole[key])
    for row, column in np.ndindex(6, 5):
        np.testing.assert_array_equal(lazy[..., row, column], whole[:, row, column])
    assert isinstance(lazy[1:3], Samples)
    np.testing.assert_array_equal(lazy[1:3], whole[1:3])
    np.testing.assert_array_equal(np.stack(list(lazy)), whole)
    np.testing.assert_allclose(lazy.mean(axis=0), whole.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(lazy.mean(axis=1), whole.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "key", [np.s_[1:2, 0:6, 0:5], np.s_[1, :, 2:], np.s_[2:, 3], np.s_[-1, ...], np.s_[::2, 1:, 4]]
)
def test_parts_are_made_of_the_images_they_lie_in(parts, monkeypatch, key):
    """Catches a viewer that makes all images for each that it shows: it asks for slices along every axis."""
    whole, asked = np.asarray(Samples(*parts)), Samples(*parts)
    monkeypatch.setattr(Samples, "__array__", None)
    np.testing.assert_array_equal(asked[key], whole[key])
    assert asked[5:, 0:2].shape == (0, 2, 5)


TURNS = {"quarter": lambda a: np.rot90(a, axes=(-2, -1)), "mirror": lambda a: a[..., ::-1], "axes": lambda a: a.mT}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_they_turn_with_their_image(parts, turn):
    lazy = Samples(*parts)
    np.testing.assert_array_equal(lazy.turned(turn), turn(np.asarray(lazy)))


def test_small_ones_are_arrays_and_so_are_those_of_whole_images(parts, monkeypatch):
    values, free, image = parts
    assert isinstance(samples_of(values, free, image), np.ndarray)
    monkeypatch.setattr(module, "_LARGE", 0)
    assert isinstance(samples_of(values, free, image), Samples)
    every = np.ones_like(free)
    assert samples_of(np.zeros((4, 30), np.float32), every, image).shape == (4, 6, 5)


@pytest.mark.parametrize("large", [False, True])
def test_a_file_holds_the_free_pixels_only(parts, monkeypatch, tmp_path, large):
    values, free, image = parts
    monkeypatch.setattr(module, "_LARGE", 0 if large else 1 << 28)
    estimate = image.astype(np.float32)
    result = Restoration(
        estimate, estimate, np.zeros((6, 5), np.float32), samples_of(values, free, image), np.zeros((1, 2), np.float32),
        ~free, [], {"samples": 4},
    )  # fmt: skip
    path = result.save(tmp_path / "a.safetensors")
    again = Restoration.load(path)
    assert isinstance(again.samples, Samples) == large
    np.testing.assert_array_equal(again.samples, np.asarray(result.samples))
    turned = again.turned(lambda a: a[..., ::-1])
    np.testing.assert_array_equal(turned.samples, np.asarray(result.samples)[..., ::-1])
    assert len(dataclasses.replace(again).without_samples().samples) == 0


def test_files_of_the_first_kind_are_read(parts, tmp_path):
    """They hold whole images."""
    import torch

    from napari_brgm.tensor_file import write_tensors

    values, free, image = parts
    whole = np.asarray(Samples(values, free, image))
    arrays = {
        "estimate": whole[0], "mean": whole[0], "variance": whole[0], "samples": whole, "measured": ~free,
        "latents": np.zeros((1, 2), np.float32),
    }  # fmt: skip
    text = {"format": "napari-brgm restoration 1", "trace": "[]", "provenance": "{}"}
    write_tensors(tmp_path / "a.safetensors", {k: torch.from_numpy(v.copy()) for k, v in arrays.items()}, text)
    np.testing.assert_array_equal(Restoration.load(tmp_path / "a.safetensors").samples, whole)


@pytest.mark.parametrize("part", ["mean", "variance", "measured", "samples", "provenance"])
def test_a_file_whose_parts_do_not_fit_is_refused(parts, tmp_path, part):
    """Else the first that asks for an interval gets an error of numpy's."""
    import torch

    from napari_brgm.errors import InputError
    from napari_brgm.tensor_file import read_tensors, write_tensors

    values, free, image = parts
    estimate = image.astype(np.float32)
    result = Restoration(
        estimate, estimate, estimate, samples_of(values, free, image), np.zeros((1, 2), np.float32), ~free, [], {}
    )
    tensors, text = read_tensors(result.save(tmp_path / "a.safetensors"))
    if part == "provenance":
        text["provenance"] = "[]"
    else:
        tensors[part] = torch.zeros(7, 3, dtype=tensors[part].dtype)
    write_tensors(tmp_path / "b.safetensors", tensors, text)
    with pytest.raises(InputError):
        Restoration.load(tmp_path / "b.safetensors")

"""A Restoration keeps everything through its file, and its intervals are ordered."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError, OutputError

ARRAYS = ("estimate", "mean", "variance", "samples", "latents", "measured")


@pytest.fixture(scope="module", params=[np.int16, np.float32, np.float64])
def result(request, linear_prior, scan, hole, quick) -> Restoration:
    return restore(scan.astype(request.param), Mask(hole), linear_prior, method="vi", samples=5, settings=quick)


def test_a_file_gives_back_everything(result, tmp_path):
    path = result.save(tmp_path / "result.brgm")
    again = Restoration.load(path)
    for name in ARRAYS:
        a, b = getattr(again, name), getattr(result, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert again.provenance == result.provenance and again.trace == result.trace
    assert again.shape == result.shape == (24, 24)
    assert [p.name for p in tmp_path.iterdir()] == ["result.brgm"]


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "text"])
def test_damaged_files_end_in_one_sentence(result, tmp_path, damage):
    path = result.save(tmp_path / "result.brgm")
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-500])
        case "other":
            from safetensors.numpy import save_file

            save_file({"estimate": np.zeros(3, np.float32)}, path)
        case "text":
            path.write_text("not a result")
    with pytest.raises(InputError, match=r"result\.brgm") as caught:
        Restoration.load(path)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written(result, tmp_path):
    """A file in place of the folder: works for root too, for whom no folder is read-only."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose a folder"):
        result.save(tmp_path / "file" / "result.brgm")
    with pytest.raises(OutputError, match="choose a folder"):
        result.save(tmp_path / "nowhere" / "result.brgm")


def test_a_failed_save_leaves_the_old_file(result, tmp_path, monkeypatch):
    path = result.save(tmp_path / "result.brgm")
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OutputError):
        result.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["result.brgm"]


def test_intervals_are_ordered_and_nested(result, hole):
    low50, high50 = result.interval(0.5)
    low90, high90 = result.interval(0.9)
    assert (
        (low90[hole] < low50[hole]).all() and (low50[hole] < high50[hole]).all() and (high50[hole] < high90[hole]).all()
    )
    np.testing.assert_allclose((high90 - low90)[hole], 2 * 1.6449 * result.std[hole], rtol=1e-2)
    np.testing.assert_array_equal(low90[~hole], high90[~hole])
    for level in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="level"):
            result.interval(level)


def test_provenance_is_complete_plain_and_holds_no_pixels(result):
    record = result.provenance
    text = json.dumps(record)
    assert {
        "notice", "software", "created", "method", "prior", "corruption", "settings", "samples", "seed", "device",
        "noise", "window", "frame", "alignment", "notes", "seconds",
    } <= set(record)  # fmt: skip
    # a replay is exact only with the same of these
    assert record["threads"] == torch.get_num_threads()
    assert {"version", "torch", "numpy", "python"} <= set(record["software"])
    assert record["prior"]["name"] == "toy-24" and "sha256" in record["prior"]
    assert record["corruption"]["missing_pixels"] == 56 and record["settings"]["steps"] == 2
    assert (record["method"], record["samples"], record["seed"]) == ("vi", 5, 0)
    assert "Not for diagnosis" in record["notice"]

    def longest(value) -> int:
        if isinstance(value, dict):
            return max([0, *map(longest, value.values())])
        if isinstance(value, list | tuple):
            return max([len(value), *map(longest, value)])
        return 0

    assert longest(record) <= 4 and len(text) < 4000
    assert set(record["alignment"]) == {"row", "column", "scale", "rotation", "low", "high", "fitted"}
    assert str(result.provenance["window"]["high"])  # the one intensity that is told


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16", "uint16", "int32", "int64", "uint64"])
def test_measured_pixels_keep_their_bits_in_every_type(linear_prior, scan, hole, quick, tmp_path, kind):
    """API and file; catches a detour through float32, and integers beyond 2^53 through float64."""
    kind = np.dtype(kind)
    image = scan.astype(kind)
    if kind.kind == "f" and kind.itemsize == 8:
        image += 1e-12 * np.arange(image.size).reshape(image.shape)
    if kind.itemsize == 8 and kind.kind != "f":
        image = image * (1 << 50) + np.arange(image.size, dtype=kind).reshape(image.shape)
    result = restore(image, Mask(hole), linear_prior, samples=2, settings=quick)
    assert np.array_equal(result.estimate[~hole].astype(kind), image[~hole])
    assert np.can_cast(kind, result.estimate.dtype)
    again = Restoration.load(result.save(tmp_path / "one.safetensors"))
    assert again.estimate.dtype == result.estimate.dtype and np.array_equal(again.estimate, result.estimate)


def test_a_type_that_no_file_holds_is_said_before_it_is_written(linear_prior, scan, hole, quick, tmp_path):
    result = restore(scan.astype(np.longdouble), Mask(hole), linear_prior, samples=2, settings=quick)
    if result.estimate.dtype.itemsize > 8:
        with pytest.raises(OutputError, match="restore the image as float64"):
            result.save(tmp_path / "one.safetensors")

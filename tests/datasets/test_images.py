"""Sets of images: levels, order, subjects, and what cannot be one set."""

import numpy as np
import pytest

from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import InputError, ScanError

FRAMING = Framing(24)


def levels(found):
    return found.images[:, 0, 12, 12].tolist()


def test_subjects_order_range_and_stride(zipped, encoded, grey):
    names = ["b/2.png", "a/1.png", "a/10.png", "a/2.png", "b/1.png", "b/3.png"]
    path = zipped({name: encoded(grey(20 * (i + 1))) for i, name in enumerate(names)})
    found = read_slices(path, FRAMING)
    assert found.names == ("a/1.png", "a/2.png", "a/10.png", "b/1.png", "b/2.png", "b/3.png")
    assert levels(found) == [40, 80, 60, 100, 20, 120]
    assert found.subjects.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.subject_names == ("a", "b")
    assert (found.images.dtype, found.white) == (np.uint8, 255)
    assert read_slices(path, FRAMING, slices=(1, 3)).names == ("a/2.png", "a/10.png", "b/2.png", "b/3.png")
    assert read_slices(path, FRAMING, slices=(1, 3), stride=3).names == ("a/2.png", "b/3.png")
    with pytest.raises(InputError, match="1 to 4 lie outside the 3 of a"):
        read_slices(path, FRAMING, slices=(1, 4))
    with pytest.raises(InputError, match="lie outside"):
        read_slices(path, FRAMING, slices=(2, 2))
    with pytest.raises(InputError, match="stride"):
        read_slices(path, FRAMING, stride=0)


def test_sixteen_bits_are_kept_and_twelve_of_them_reach_white(zipped, encoded, grey):
    full = zipped({f"{i}.png": encoded(grey(v, dtype=np.uint16)) for i, v in enumerate((300, 65535))})
    found = read_slices(full, FRAMING)
    assert levels(found) == [300, 65535]
    assert found.levels == "as stored"
    twelve = zipped({f"{i}.tif": encoded(grey(v, dtype=np.uint16), "tiff") for i, v in enumerate((300, 4095))})
    found = read_slices(twelve, FRAMING)
    assert levels(found) == [4800, 65520]
    assert "times 16" in found.levels


def test_colours_and_grey_coded_as_colour(zipped, encoded, grey):
    colour = np.stack([grey(200), grey(100), grey(50)], axis=-1)
    false_colour = np.stack([grey(90)] * 3, axis=-1)
    found = read_slices(zipped({"a.png": encoded(colour), "b.png": encoded(false_colour)}), FRAMING)
    assert found.images[:, :, 12, 12].tolist() == [[200, 100, 50], [90, 90, 90]]
    found = read_slices(zipped({"a.png": encoded(grey(30)), "b.png": encoded(false_colour)}), FRAMING)
    assert found.images.shape[1] == 1
    assert levels(found) == [30, 90]
    with pytest.raises(ScanError, match=r"b\.png is colour, others are not"):
        read_slices(zipped({"a.png": encoded(grey(30)), "b.png": encoded(colour)}), FRAMING)
    late = {f"{i:03d}.png": encoded(false_colour) for i in range(70)} | {"068.png": encoded(colour)}
    with pytest.raises(ScanError, match=r"068\.png is colour"):  # not among those that are looked at first
        read_slices(zipped(late), FRAMING)


def test_one_kind_of_bits(zipped, encoded, grey):
    with pytest.raises(ScanError, match=r"b\.png has 16 bits, a\.png has 8"):
        read_slices(zipped({"a.png": encoded(grey(30)), "b.png": encoded(grey(30, dtype=np.uint16))}), FRAMING)


def test_images_of_any_size_meet_in_one_frame(zipped, encoded, grey):
    path = zipped({"a.png": encoded(grey(99, (7, 50))), "b.jpg": encoded(grey(99, (64, 40)), "jpeg", quality=100)})
    found = read_slices(path, Framing(16, 2.0), pixel_mm=(1.0, 0.5))
    assert found.images.shape == (2, 1, 16, 16)
    assert levels_near(found.images[0, 0, 8, 3:13], 99)
    assert not found.images[0, 0, :5].any()
    assert found.images[1, 0, :, 4:12].min() > 90


def levels_near(values, level):
    return np.abs(values.astype(int) - level).max() <= 1


def test_a_damaged_image_is_named(zipped, encoded, grey):
    path = zipped({f"{i:03d}.png": encoded(grey(30 + i)) for i in range(40)} | {"017.png": b"\x89PNG nothing"})
    with pytest.raises(ScanError, match=r"017\.png is not a readable PNG"):
        read_slices(path, FRAMING)


def test_more_than_memory_is_refused_before_it_is_taken(zipped, encoded, grey, monkeypatch):
    monkeypatch.setattr("napari_brgm.datasets.images._memory", lambda: 1000)
    with pytest.raises(InputError, match="would fill"):
        read_slices(zipped({f"{i}.png": encoded(grey(40)) for i in range(2)}), FRAMING)

"""Pictures: every level as it is stored, upright, or a sentence; never a level that was quietly made another."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_brgm.errors import ScanError
from napari_brgm.scans.picture import read_picture
from napari_brgm.scans.picture_export import write_levels, write_picture
from napari_brgm.scans.picture_file import upright
from napari_brgm.scans.record import sidecar_of

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 7), np.uint8)
DEEP = RNG.integers(0, 65536, (9, 7), np.uint16)
COLOUR = RNG.integers(0, 256, (9, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (GREY, "a.png"), (GREY, "a.tif"), (DEEP, "a.png"), (DEEP, "a.tif"), (COLOUR, "a.png"), (COLOUR, "a.tif"),
        (DEEP.astype(np.int32) - 70000, "a.tif"), (DEEP.astype(np.float32) / 7, "a.tif"),
    ],
)  # fmt: skip
def test_what_is_written_is_read(tmp_path, array, name):
    write_picture(tmp_path / name, array.astype(np.float64), array.dtype, "not for diagnosis")
    picture = read_picture(tmp_path / name)
    assert picture.pixels.dtype == array.dtype and picture.name == "a" and not picture.notes
    np.testing.assert_array_equal(picture.pixels, array)
    assert b"not for diagnosis" in (tmp_path / name).read_bytes()


def test_values_are_rounded_into_the_range_of_their_type(tmp_path):
    write_picture(tmp_path / "a.png", np.array([[-3, 0.4], [254.6, 300]]), np.uint8, "")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, [[0, 0], [255, 255]])


def test_levels_are_floats_and_colours_pages(tmp_path):
    write_levels(tmp_path / "a.tif", GREY / 7, "")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), (GREY / 7).astype(np.float32))
    write_levels(tmp_path / "b.tif", COLOUR / 7, "")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif")[1], (COLOUR[..., 1] / 7).astype(np.float32))
    with pytest.raises(ScanError, match="several pages"):
        read_picture(tmp_path / "b.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_upright_as_pillow_turns(tmp_path, orientation, kind):
    image = Image.fromarray(DEEP)
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / "a", kind, exif=exif)
    picture = read_picture(tmp_path / "a")
    turned = Image.fromarray(GREY)
    turned.getexif()[274] = orientation
    np.testing.assert_array_equal(np.array(ImageOps.exif_transpose(turned)), upright(GREY, orientation))
    np.testing.assert_array_equal(picture.pixels, upright(DEEP, orientation))
    assert bool(picture.notes) == (orientation != 1)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u2", "i2", "f4"])
def test_tiff_of_others(tmp_path, order, compression, kind):
    """Either order of bytes, compressed or not, signed or not."""
    array = (DEEP.astype(np.int64) - (30000 if kind == "i2" else 0)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, compression=compression)
    if order == ">" and compression and kind != "u2":  # read wrong by Pillow 13, without a word
        with pytest.raises(ScanError, match="bytes in reverse; save it uncompressed"):
            read_picture(tmp_path / "a.tif")
        return
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, array)


def png(depth, colour, samples):
    """A PNG of 16 bits and a kind that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + np.repeat(row, samples).astype(">u2").tobytes() for row in DEEP)
    head = struct.pack(">IIBBBBB", 7, 9, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_that_would_be_cut_to_eight(tmp_path, colour, samples):
    (tmp_path / "a.png").write_bytes(png(16, colour, samples))
    with pytest.raises(ScanError, match="has 16 bits a channel"):
        read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png(16, 0, 1))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, DEEP)


def test_transparency_is_counted(tmp_path):
    image = Image.fromarray(GREY)
    image.save(tmp_path / "key.png", transparency=int(GREY[0, 0]))
    assert read_picture(tmp_path / "key.png").transparent == (GREY[0, 0] == GREY).sum()
    Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)])).save(tmp_path / "opaque.png")
    opaque = read_picture(tmp_path / "opaque.png")
    assert (opaque.transparent, opaque.notes) == (0, ())
    np.testing.assert_array_equal(opaque.pixels, GREY)


def test_animations_and_large_files(tmp_path, monkeypatch):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:])
    with pytest.raises(ScanError, match="holds several pages"):
        read_picture(tmp_path / "a.png")
    monkeypatch.setattr("napari_brgm.scans.picture.MOST_BYTES", 10)
    with pytest.raises(ScanError, match="is larger than"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(ScanError, match="there is no file"):
        read_picture(tmp_path / "b.png")


def test_mutated_files_end_in_pixels_or_a_sentence(tmp_path):
    for array, kind in ((GREY, "PNG"), (COLOUR, "JPEG"), (DEEP, "TIFF")):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, kind)
        whole, ends = np.frombuffer(stream.getvalue(), np.uint8), set()
        for _ in range(150):
            data = whole.copy()
            data[RNG.integers(3, len(data), RNG.integers(1, 6))] = RNG.integers(0, 256)
            (tmp_path / "a").write_bytes(data.tobytes())
            try:
                ends.add(read_picture(tmp_path / "a").pixels.ndim)
            except ScanError as error:
                assert str(error).startswith("a ")
                ends.add("sentence")
        assert {"sentence"} < ends


def test_names_of_records(tmp_path):
    names = ("a.png", "a.tif", "a.nii.gz", "a.b.png")
    assert [sidecar_of(tmp_path / name).name for name in names] == ["a.json", "a.json", "a.json", "a.b.json"]


@pytest.mark.parametrize("side", [256, 257])
def test_tiff_that_speaks_of_more_pixels_than_its_strips_hold_is_refused(tmp_path, side):
    """Pillow reads the others as 0: 1.5 kB became a picture of a million rows."""
    path = tmp_path / "a.tif"
    Image.fromarray(GREY).save(path)
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    entries = [first + 2 + 12 * k for k in range(struct.unpack_from("<H", content, first)[0])]
    (entry,) = [at for at in entries if struct.unpack_from("<H", content, at)[0] == side]
    struct.pack_into("<HII", content, entry + 2, 4, 1, 1000)
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"fewer pixels|not a readable"):
        read_picture(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{"rowsperstrip": 2}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
def test_strips_and_tiles_that_hold_all_are_read(tmp_path, options, orientation):
    array = RNG.integers(0, 256, (35, 21, 3), np.uint8)
    separate = "planarconfig" in options
    written = np.moveaxis(array, -1, 0) if separate else array
    tifffile.imwrite(
        tmp_path / "a.tif", written, photometric="rgb", extratags=[(274, 3, 1, orientation, True)], **options
    )
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, upright(array, orientation))

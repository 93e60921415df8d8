"""Decoding: a wrong bit depth or polarity would train a prior on noise; a hostile file must end in a sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_brgm.datasets.image_file import decode_image
from napari_brgm.errors import ScanError


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


RAMP = np.arange(240, dtype=np.uint8).reshape(15, 16)
DEEP = (np.arange(240, dtype=np.uint16) * 257).reshape(15, 16)


@pytest.mark.parametrize(("mode", "kind"), [("L", "png"), ("L", "tiff"), ("LA", "png"), ("L", "jpeg")])
def test_grey_is_two_axes_of_uint8(mode, kind):
    options = {"quality": 100} if kind == "jpeg" else {}
    pixels = decode_image(saved(Image.fromarray(RAMP).convert(mode), kind, **options), f"a.{kind}")
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RAMP).max() <= (1 if kind == "jpeg" else 0)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_stay_as_stored(kind, encoded):
    pixels = decode_image(encoded(DEEP, kind), f"a.{kind}")
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, DEEP)
    wide = decode_image(encoded(DEEP.astype(np.int32), "tiff"), "a.tif")
    assert wide.dtype == np.uint16
    assert np.array_equal(wide, DEEP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_colours_are_three_planes(mode):
    colour = np.zeros((6, 5, 3), np.uint8)
    colour[..., 0], colour[..., 2] = 255, np.arange(5) * 60
    image = Image.fromarray(colour)
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    kind = "tiff" if mode == "CMYK" else "png"
    assert np.array_equal(decode_image(saved(image, kind), f"a.{kind}"), colour)


def test_black_and_white_is_0_and_255():
    bits = np.zeros((4, 9), bool)
    bits[1] = True
    assert np.array_equal(decode_image(saved(Image.fromarray(bits), "png"), "a.png"), bits * np.uint8(255))


def png_of_size(width, height):
    """A PNG that claims a size, with the pixels of a small one."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(9000, 8000), (30000, 30000), (2**31 - 1, 2**31 - 1)])
def test_claimed_sizes_are_not_believed(size):
    with pytest.raises(ScanError, match="pixels; shrink it"):
        decode_image(png_of_size(*size), "a.png")


def test_what_is_no_grey_level_gets_a_sentence(encoded):
    pages = saved(Image.fromarray(RAMP), "tiff", save_all=True, append_images=[Image.fromarray(RAMP)])
    with pytest.raises(ScanError, match=r"a\.tif holds several pages"):
        decode_image(pages, "a.tif")
    with pytest.raises(ScanError, match="stores white as 0"):
        decode_image(saved(Image.fromarray(DEEP), "tiff", tiffinfo={262: 0}), "a.tif")
    eight = decode_image(saved(Image.fromarray(RAMP), "tiff", tiffinfo={262: 0}), "a.tif")
    assert np.array_equal(eight, RAMP)  # what Pillow turns round for us
    with pytest.raises(ScanError, match="holds fractions"):
        decode_image(encoded(RAMP / np.float32(7), "tiff"), "a.tif")
    with pytest.raises(ScanError, match=r"outside 0 \.\. 65535"):
        decode_image(encoded(RAMP.astype(np.int32) - 5, "tiff"), "a.tif")


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_images_are_upright(kind):
    """Catches training on pictures that lie on their sides."""
    image = Image.fromarray(np.rot90(np.repeat(RAMP, 8, axis=0).repeat(8, axis=1)).copy())
    exif = image.getexif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    pixels = decode_image(saved(image, kind, exif=exif), f"a.{kind}")
    assert pixels.shape == (120, 128) and np.abs(pixels[4::8, 4::8].astype(int) - RAMP).max() < 12


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_damaged_and_disguised_files_get_a_sentence(kind, encoded):
    whole = encoded(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8), kind)
    for data in (b"", b"text", whole[: len(whole) // 2], whole[:20], saved(Image.fromarray(RAMP), "gif")):
        with pytest.raises(ScanError, match=f"a.{kind} is not a readable"):
            decode_image(data, f"a.{kind}")


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_mutated_files_end_in_pixels_or_a_sentence(kind, encoded):
    rng = np.random.default_rng(1)
    whole = np.frombuffer(encoded(RAMP, kind), np.uint8)
    outcomes = {"pixels": 0, "sentence": 0}
    for _ in range(400):
        data = whole.copy()
        data[rng.integers(0, len(data), rng.integers(1, 6))] = rng.integers(0, 256)
        try:
            pixels = decode_image(data.tobytes(), f"a.{kind}")
        except ScanError as error:
            assert str(error).startswith("a.")
            outcomes["sentence"] += 1
        else:
            assert pixels.dtype in (np.uint8, np.uint16)
            assert pixels.ndim in (2, 3)
            outcomes["pixels"] += 1
    assert min(outcomes.values()) > 5

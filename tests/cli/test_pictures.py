"""Pictures through the shell: read as they are seen, written without loss, and refused in one sentence."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_brgm import Restoration
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.zoo.files import write_prior


@pytest.fixture
def mask(hole, tmp_path):
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def png8(path, image):
    Image.fromarray(image).save(path)


def rgb_jpeg(path, image):
    Image.fromarray(np.repeat(image[..., None], 3, axis=2)).save(path, quality=95)


def palette(path, image):
    Image.fromarray(image).convert("P").save(path)


def rgba(path, image):
    Image.fromarray(np.dstack([image] * 3 + [np.full_like(image, 255)])).save(path)


def png16(path, image):
    Image.fromarray(image.astype(np.uint16) * 251 + 7).save(path)


def tiff16(path, image):
    tifffile.imwrite(path, image.astype(np.uint16) * 200, compression="zlib", byteorder=">")


def signed(path, image):
    tifffile.imwrite(path, image.astype(np.int16) * 10 - 1000)


def floats(path, image):
    tifffile.imwrite(path, image.astype(np.float32) / 7 - 3)


@pytest.mark.parametrize(
    ("name", "write", "result", "kind"),
    [
        ("a.png", png8, "a_desc-brgmInpaintEstimate_image.png", np.uint8),
        ("a.jpg", rgb_jpeg, "a_desc-brgmInpaintEstimate_image.png", np.uint8),
        ("a.png", palette, "a_desc-brgmInpaintEstimate_image.png", np.uint8),
        ("a.png", rgba, "a_desc-brgmInpaintEstimate_image.png", np.uint8),
        ("a.png", png16, "a_desc-brgmInpaintEstimate_image.png", np.uint16),
        ("a.tif", tiff16, "a_desc-brgmInpaintEstimate_image.tif", np.uint16),
        ("a.tiff", signed, "a_desc-brgmInpaintEstimate_image.tif", np.int32),
        ("a.tif", floats, "a_desc-brgmInpaintEstimate_image.tif", np.float32),
        ("wrongly-named.dat", png8, "wrongly-named.dat", None),
    ],
)
def test_measured_levels_come_back_bit_for_bit(shell, clean, hole, mask, quick, tmp_path, name, write, result, kind):
    """Catches levels scaled, cut to 8 bits or blurred by JPEG, and a variance in other units than the picture's."""
    path, out = tmp_path / name, tmp_path / "out"
    if kind is None:
        with path.open("wb") as stream:
            Image.fromarray(clean).save(stream, "PNG")
        result, kind = "wrongly-named_desc-brgmInpaintEstimate_image.png", np.uint8
    else:
        write(path, clean)
    with Image.open(path) as image:
        given = np.array(image.convert("L") if image.mode in ("P", "RGB", "RGBA") else image)
    done = shell("inpaint", path, "--mask", mask, "--out", out, *quick)
    assert done.exit_code == 0, done.output
    restored = tifffile.imread(out / result) if result.endswith("tif") else np.array(Image.open(out / result))
    assert restored.dtype == kind and restored.shape == (32, 32)
    np.testing.assert_array_equal(restored[~hole], given[~hole])
    stem = result.partition("_")[0]
    posterior = Restoration.load(out / f"{stem}_desc-brgmInpaintPicture_image.safetensors")
    variance = tifffile.imread(out / f"{stem}_desc-brgmInpaintVariance_image.tif")
    assert variance.dtype == np.float32
    np.testing.assert_array_equal(variance, posterior.variance)
    assert (variance[hole] > 0).all() and (variance[~hole] == 0).all()
    whole = kind != np.float32
    np.testing.assert_allclose(restored[hole], posterior.estimate[hole], atol=0.5 if whole else 0)
    assert ("rounded to whole grey levels" in done.stderr) == whole
    record = json.loads((out / result).with_suffix(".json").read_text())
    assert record["Units"] == "grey levels" and record["pixel_mm"] is None and record["Sources"] == [name, "mask.png"]
    assert "not for diagnosis" in record["Description"]
    spread = json.loads((out / f"{stem}_desc-brgmInpaintVariance_image.json").read_text())
    assert spread["Units"] == "grey levels^2"
    assert "11 % of the picture is hidden" in done.stderr
    assert f"{path.stem} does not say how large its pixels are" in done.stderr and "2 mm" in done.stderr
    assert (out / f"{stem}_desc-brgmInpaintSheet_image.png").is_file()


def test_a_picture_says_what_it_is_in_its_own_file(shell, clean, mask, quick, tmp_path):
    """And takes nothing along that a camera wrote into its source."""
    image, out = Image.fromarray(clean), tmp_path / "out"
    exif = image.getexif()
    exif[0x010E] = "Jane Doe, born 1950"  # ImageDescription
    image.save(tmp_path / "a.jpg", exif=exif, quality=100)
    done = shell("inpaint", tmp_path / "a.jpg", "--mask", mask, "--out", out, *quick, "--pixel-mm", "2")
    assert done.exit_code == 0 and "does not say how large" not in done.stderr
    with Image.open(out / "a_desc-brgmInpaintEstimate_image.png") as written:
        assert "not for diagnosis" in written.info["Description"] and not written.getexif()
    assert not any(b"Jane" in file.read_bytes() for file in out.iterdir())
    assert json.loads((out / "a_desc-brgmInpaintEstimate_image.json").read_text())["pixel_mm"] == [2.0, 2.0]


def test_the_pixel_size_counts(shell, clean, mask, quick, tmp_path):
    """Catches a --pixel-mm that does not reach the engine: pixels of 2 mm are those of the prior, others are not."""
    png8(tmp_path / "a.png", clean)
    found = []
    for size in ("2", "2.5", "2.5,2"):
        out = tmp_path / size
        done = shell("inpaint", tmp_path / "a.png", "--mask", mask, "--out", out, *quick, "--pixel-mm", size)
        assert done.exit_code == 0, done.output
        found.append(Restoration.load(out / "a_desc-brgmInpaintPicture_image.safetensors").estimate)
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])
    assert "the prior knows 64 mm; give the pixel size in mm" in shell.refused(
        "inpaint", tmp_path / "a.png", "--mask", mask, "--out", tmp_path / "no", *quick, "--pixel-mm", "0.05"
    )


def test_an_orientation_is_applied_and_told(shell, clean, hole, quick, tmp_path):
    """A camera held upright stores its rows sideways; picture and mask are what is seen."""
    tall = np.vstack([clean, clean[:4]])
    for name, seen in (("a.png", tall), ("mask.png", np.vstack([hole, hole[:4]]).astype(np.uint8) * 255)):
        image = Image.fromarray(np.rot90(seen).copy())  # to be turned by 90 degrees clockwise
        exif = image.getexif()
        exif[274] = 6
        image.save(tmp_path / name, exif=exif)
    out = tmp_path / "out"
    done = shell("inpaint", tmp_path / "a.png", "--mask", tmp_path / "mask.png", "--out", out, *quick)
    assert done.exit_code == 0, done.output
    assert "note: a.png was turned upright, as its EXIF orientation (6) says; so is the result" in done.stderr
    assert "note: mask.png was turned upright" in done.stderr
    missing = np.vstack([hole, hole[:4]])
    with Image.open(out / "a_desc-brgmInpaintEstimate_image.png") as written:
        np.testing.assert_array_equal(np.array(written)[~missing], tall[~missing])


def test_finer_pixels_of_a_picture(shell, clean, quick, tmp_path):
    low = clean.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    tifffile.imwrite(tmp_path / "low.tif", low.astype(np.float32))
    png8(tmp_path / "low.png", low.round().astype(np.uint8))
    for name, ending in (("low.tif", ".tif"), ("low.png", ".png")):
        out = tmp_path / ending
        done = shell("superres", tmp_path / name, "--factor", 2, "--pixel-mm", 4, "--out", out, *quick)
        assert done.exit_code == 0, done.output
        with Image.open(out / f"low_desc-brgmSuperresEstimate_image{ending}") as image:
            fine = np.array(image).astype(float)
        assert fine.shape == (32, 32)
        assert np.abs(fine.reshape(16, 2, 16, 2).mean(axis=(1, 3)) - low).max() < 1.5  # is the coarse one, averaged
        assert tifffile.imread(out / "low_desc-brgmSuperresVariance_image.tif").shape == (32, 32)


def test_a_picture_is_cleaned(shell, clean, quick, tmp_path):
    Image.fromarray(clean).save(tmp_path / "a.jpg", quality=20)
    done = shell("clean", tmp_path / "a.jpg", "--jpeg-quality", 20, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out" / "a_desc-brgmCleanEstimate_image.png") as image:
        assert image.size == (32, 32) and image.mode == "L"


def test_colour_goes_with_a_colour_prior(shell, parity, tmp_path, hole, mask):
    """Colours stay apart; the variance of each is a page. A grey prior says what to do."""
    net = StyleGAN2.from_state_dict(parity("64_rgb")[0])
    write_prior(
        StyleGAN2Prior.of_network(net, PriorInfo("colours", spacing_mm=1.0)), tmp_path / "c.safetensors", torch.float32
    )
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    out = tmp_path / "out"
    done = shell(
        "inpaint", tmp_path / "a.png", "--mask", mask, "--out", out, "--prior", tmp_path / "c.safetensors", "--steps",
        2, "--samples", 2, "--device", "cpu", "--save-video", out / "way.gif",
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    with Image.open(out / "a_desc-brgmInpaintEstimate_image.png") as written:
        np.testing.assert_array_equal(np.array(written)[~hole], image[~hole])
    variance = tifffile.imread(out / "a_desc-brgmInpaintVariance_image.tif")
    assert variance.shape == (3, 32, 32) and (variance[:, ~hole] == 0).all()
    assert json.loads((out / "a_desc-brgmInpaintEstimate_image.json").read_text())["Units"] == "colour levels"


def test_colour_and_a_grey_prior(shell, clean, mask, quick, tmp_path):
    Image.fromarray(np.dstack([clean, clean, clean // 2])).save(tmp_path / "a.png")
    said = shell.refused("inpaint", tmp_path / "a.png", "--mask", mask, "--out", tmp_path / "out", *quick)
    assert "the image is in colour but the prior is gray" in said and not (tmp_path / "out").exists()


def test_transparent_pixels_are_told(shell, clean, mask, quick, tmp_path):
    alpha = np.full_like(clean, 255)
    alpha[0, :5] = 9
    Image.fromarray(np.dstack([clean, clean, clean, alpha])).save(tmp_path / "a.png")
    done = shell("inpaint", tmp_path / "a.png", "--mask", mask, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0 and "5 pixels of a.png are transparent" in done.stderr


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.png", lambda path: path.write_bytes(b"not a picture"), "does not begin as a PNG, JPEG or TIFF file"),
        ("a.gif", lambda path: Image.new("L", (9, 9)).save(path), "save the picture as PNG or TIFF"),
        ("a.jpg", lambda path: Image.new("CMYK", (9, 9)).save(path), "is a picture in CMYK"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.eye(9)), "save it with 8 or 16 bits, or as TIFF of 32-bit"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.eye(9, dtype=np.int8)), "signed values of 8 bits"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.full((9, 9), 2**31, np.uint32)), "integers beyond 2^31"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.ones((9, 9, 3), np.uint16)), "has 16 bits a channel"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.ones((3, 9, 9), "u1"), photometric="minisblack"), "pages"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.eye(9, dtype="<u2"), photometric="miniswhite"), "white as 0"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_used(shell, mask, quick, tmp_path, name, write, words):
    write(tmp_path / name)
    assert words in shell.refused("inpaint", tmp_path / name, "--mask", mask, "--out", tmp_path / "out", *quick)
    assert not (tmp_path / "out").exists()


def test_a_picture_of_billions_of_pixels_is_not_unpacked(shell, mask, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    png8(tmp_path / "a.png", np.zeros((32, 32), np.uint8))
    said = shell.refused("inpaint", tmp_path / "a.png", "--mask", mask, "--out", tmp_path / "out", *quick)
    assert "has too many pixels; shrink it below 8192 x 8192" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--index", 0], "a.png is a picture, which is one slice; leave --index out"),
        (["--plane", "axial"], "leave --plane out"),
        (["--volume", 0], "leave --volume out"),
        (["--series", 1], "leave --series out"),
        (["--pixel-mm", "wide"], "--pixel-mm is one number such as 1.5, or two for rows and columns"),
        (["--pixel-mm", "0"], "--pixel-mm must be above 0 mm"),
        (["--pixel-mm", "nan"], "--pixel-mm must be above 0 mm"),
    ],
)
def test_options_that_do_not_go_with_a_picture(shell, clean, mask, quick, tmp_path, more, words):
    png8(tmp_path / "a.png", clean)
    said = shell.refused("inpaint", tmp_path / "a.png", "--mask", mask, "--out", tmp_path / "out", *quick, *more)
    assert words in said and not (tmp_path / "out").exists()


def test_a_scan_knows_its_pixel_size(shell, scan, mask, quick, tmp_path):
    arguments = ("superres", scan, "--pixel-mm", 2, "--out", tmp_path / "out", *quick)
    assert "--pixel-mm is for pictures, and sub-01_T1w.nii.gz says itself" in shell.refused(*arguments)


def test_masks_of_another_kind_or_size(shell, clean, quick, tmp_path):
    png8(tmp_path / "a.png", clean)
    nib.save(nib.Nifti1Image(np.ones((32, 32, 1), np.float32), np.eye(4)), tmp_path / "mask.nii.gz")
    png8(tmp_path / "wide.png", np.tri(32, 30, dtype=np.uint8) * 255)
    arguments = ("inpaint", tmp_path / "a.png", "--out", tmp_path / "out", *quick, "--mask")
    assert "the mask of a picture is a picture or an NPY file" in shell.refused(*arguments, tmp_path / "mask.nii.gz")
    said = shell.refused(*arguments, tmp_path / "wide.png")
    assert "has 32 x 30 pixels (rows x columns) but the picture has 32 x 32; paint it on the same slice" in said

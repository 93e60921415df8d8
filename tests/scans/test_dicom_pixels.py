"""Values: rescale, inverted display, padding, wide integers, decoders."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fuzzing.dicom_samples import jpeg_file, lossless_file
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLosslessSV1, JPEGLSLossless

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
FILM = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "Modality": "CR"}


def test_rescale_gives_real_values_in_float32(write_dicom):
    (scan,) = read_dicom(write_dicom("ct", PIXELS, Modality="CT", RescaleSlope="0.5", RescaleIntercept="-1024"))
    np.testing.assert_array_equal(scan.array[..., 0].T, (PIXELS * 0.5 - 1024).astype(np.float32))
    assert (scan.units, scan.array.dtype) == ("HU", np.float32)


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.uint16, 0, 4095), (np.int16, -2048, 2047)])
def test_monochrome1_film_becomes_bone_bright(write_dicom, dtype, low, high):
    pixels = np.array([[low, high, 7]], dtype)
    elements = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    (scan,) = read_dicom(write_dicom("film", pixels, **FILM, **elements))
    np.testing.assert_array_equal(scan.array[:, 0, 0], [high, low, low + high - 7])
    assert scan.header[0].PhotometricInterpretation == "MONOCHROME1"


def test_monochrome1_leaves_physical_values_alone(write_dicom):
    (scan,) = read_dicom(write_dicom("ct", PIXELS, Modality="CT", PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(scan.array[..., 0].T, PIXELS)


def test_padding_is_left_as_stored(write_dicom):
    pixels = np.array([[-2000, 5]], np.int16)
    (scan,) = read_dicom(write_dicom("padded", pixels, PixelPaddingValue=-2000))
    assert scan.array.min() == -2000


def test_wide_integers_stay_exact(write_dicom):
    pixels = np.array([[2**30 + 1, 3]], np.uint32)
    (scan,) = read_dicom(write_dicom("wide", pixels))
    assert scan.array.dtype == np.float64
    assert scan.array.max() == 2**30 + 1


def test_lookup_table_is_applied(write_dicom):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [12, 0, 16], "OD"
    table.LUTData = np.arange(100, 1300, 100, dtype=np.uint16).tobytes()
    (scan,) = read_dicom(write_dicom("film", PIXELS, **FILM, ModalityLUTSequence=[table]))
    np.testing.assert_array_equal(scan.array[..., 0].T, PIXELS * 100.0 + 100)


def test_pixels_removed_is_one_sentence(write_dicom):
    with pytest.raises(ScanError, match="has no pixels"):
        read_dicom(write_dicom("empty", PIXELS, PixelData=None))


def test_truncated_pixels_are_one_sentence():
    with pytest.raises(ScanError, match="damaged or cut short"):
        read_dicom(get_testdata_file("MR_truncated.dcm", download=False))


@pytest.mark.parametrize(("syntax", "package"), [(JPEGLSLossless, "pyjpegls"), (JPEGLosslessSV1, "python-gdcm")])
def test_missing_decoder_names_the_syntax_and_the_package(tmp_path, monkeypatch, syntax, package):
    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    content = Path(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)).read_bytes()
    uid = str(syntax).encode().ljust(22, b"\0")
    path = tmp_path / "compressed.dcm"
    path.write_bytes(content.replace(str(JPEGLSLossless).encode().ljust(22, b"\0"), uid))
    with pytest.raises(ScanError, match=rf"is compressed as JPEG.*; install {package}"):
        read_dicom(path)


def test_private_syntax_is_refused(tmp_path):
    content = Path(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)).read_bytes()
    path = tmp_path / "private.dcm"
    path.write_bytes(content.replace(str(JPEGLSLossless).encode(), b"1.2.840.10008.1.2.4.89"))
    with pytest.raises(ScanError, match="export it uncompressed"):
        read_dicom(path)


def test_damaged_jpeg_2000_does_not_end_the_process(tmp_path):
    """One decoder aborts on a stream whose markers are damaged; in a process of its own, as it would end the tests."""
    content = bytearray(Path(get_testdata_file("MR_small_jp2klossless.dcm", download=False)).read_bytes())
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 0x71
    path = tmp_path / "damaged.dcm"
    path.write_bytes(content)
    code = (
        "import sys\nfrom napari_brgm.errors import ScanError\nfrom napari_brgm.scans.dicom import read_dicom\n"
        "try:\n    read_dicom(sys.argv[1])\nexcept ScanError:\n    pass\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("alive"), done.stderr


def test_damaged_jpeg_does_not_end_the_process(tmp_path, write_dicom):
    """gdcm aborts where segments of a JPEG are not whole, or tell of other channels; also in a later frame."""
    files = {
        "lossy": jpeg_file(np.arange(24 * 16, dtype=np.uint8).reshape(24, 16)),
        "lossless": lossless_file(write_dicom("plain", np.arange(12, dtype=np.uint16).reshape(3, 4)).read_bytes()),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.dcm").write_bytes(content)
        assert read_dicom(tmp_path / f"{name}.dcm")[0].array.max() > 9
        for what, (old, new) in {
            "table": (b"\xff\xc4\x00", b"\xff\x00\x03"), "channels": (b"\x01\x01\x11\x00\xff", b"\x02\x01\x11\x00\xff"),
            "frame": (b"\xff\xc0" if name == "lossy" else b"\xff\xc3", b"\xff\x00"),
        }.items():  # fmt: skip
            assert old in content, (name, what)
            (tmp_path / f"{name}-{what}.dcm").write_bytes(content.replace(old, new, 1))
    later = pydicom.dcmread(tmp_path / "lossless.dcm")
    whole = get_frame(later.PixelData, 0, number_of_frames=1)
    later.PixelData = encapsulate([whole, whole.replace(b"\xff\xc4\x00", b"\xff\x00\x03")])
    later.NumberOfFrames, later["PixelData"].is_undefined_length = 2, True
    later.save_as(tmp_path / "later-frame.dcm")
    code = (
        "import sys\nfrom napari_brgm.errors import ScanError\nfrom napari_brgm.scans.dicom import read_dicom\n"
        "for path in sys.argv[1:]:\n    try:\n        read_dicom(path)\n    except ScanError as error:\n"
        "        print(error)"
    )
    paths = sorted(map(str, tmp_path.glob("*-*.dcm")))
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(paths) == 7, done.stderr + done.stdout
    assert "holds no JPEG of 1 value(s) a pixel in its frame 2" in done.stdout


def test_lossy_jpeg_is_the_same_by_either_decoder():
    pixels = np.random.default_rng(0).normal(120, 40, (33, 21)).clip(0, 255).astype(np.uint8)
    found = []
    for plugin in ("gdcm", "pillow"):
        dataset = pydicom.dcmread(io.BytesIO(jpeg_file(pixels)))
        dataset.pixel_array_options(decoding_plugin=plugin)
        found.append(dataset.pixel_array)
    np.testing.assert_array_equal(*found)

"""What a header speaks of is held against the bytes that are there, before anything is built or inflated."""

import gzip
import io
import time
import zlib
from contextlib import nullcontext

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize("frames", [2, 10**6, 2 * 10**9])
def test_frames_that_are_not_there_are_refused_at_once(write_dicom, frames):
    path = write_dicom("claim", PIXELS, NumberOfFrames=frames)
    started = time.process_time()
    with pytest.raises(ScanError, match=rf"{frames} frames of 3 x 4 pixels take {24 * frames} bytes and it holds 24"):
        read_dicom(path)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_frames_that_cannot_be_there_are_refused(write_dicom, syntax):
    path = write_dicom("claim", PIXELS)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID, dataset.NumberOfFrames = syntax, 10**6
    dataset.PixelData = encapsulate([b"\0" * 100])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    with pytest.raises(ScanError, match=r"speaks of 1000000 frames .* too few for them"):
        read_dicom(path)


def test_negative_number_of_frames_is_refused(write_dicom):
    with pytest.raises(ScanError, match="does not say how many frames"):
        read_dicom(write_dicom("claim", PIXELS, NumberOfFrames=-3))


@pytest.mark.parametrize("changed", [{"Rows": 2}, {"Columns": 2}, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}])
def test_pixel_data_longer_than_the_header_says_are_told(write_dicom, changed):
    (scan,) = read_dicom(write_dicom("more", PIXELS, **changed))
    assert "the pixel data hold 24 bytes, more than the" in scan.notes[0]


def test_padding_to_an_even_length_is_not_told(write_dicom):
    (scan,) = read_dicom(write_dicom("odd", np.arange(9, dtype=np.uint8).reshape(3, 3), PixelData=b"\1" * 10))
    assert scan.notes == ()


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm"])
@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_compressed_pixels_of_another_size_than_the_header_says_are_refused(tmp_path, name, keyword):
    dataset = pydicom.dcmread(get_testdata_file(name, download=False))
    setattr(dataset, keyword, 32)
    dataset.save_as(tmp_path / "less.dcm")
    with pytest.raises(ScanError, match="holds compressed pixels of"):
        read_dicom(tmp_path / "less.dcm")


def deflated(path, size):
    """A file that deflates ``size`` bytes of zeros as a private element before its pixels."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    block = dataset.private_block(0x0099, "FILL", create=True)
    block.add_new(1, "OB", b"\0" * size)
    dataset.save_as(path)
    return path


def test_deflated_file_is_read(write_dicom):
    plain = read_dicom(write_dicom("plain", PIXELS))[0]
    (scan,) = read_dicom(deflated(write_dicom("deflated", PIXELS), 1000))
    np.testing.assert_array_equal(scan.array, plain.array)
    np.testing.assert_array_equal(scan.affine, plain.affine)


def test_header_that_inflates_without_end_is_refused(write_dicom):
    with pytest.raises(ScanError, match=r"inflates to more than its header can need \(64 MB\)"):
        read_dicom(deflated(write_dicom("bomb", PIXELS), 80 << 20))


def bytes_after_pixels(path, size):
    """The bytes of a file with ``size`` zeros behind its pixels, as trailing padding."""
    return path.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0" + size.to_bytes(4, "little") + b"\0" * size


def test_zeros_behind_the_pixels_of_a_gzipped_file_are_not_read_without_end(write_dicom, tmp_path):
    path = tmp_path / "bomb.dcm.gz"
    path.write_bytes(gzip.compress(bytes_after_pixels(write_dicom("plain", PIXELS), 200 << 20), 1))
    with pytest.raises(ScanError, match="inflates to far more than its image"):
        read_dicom(path)


def test_gzipped_file_whose_checksum_is_wrong_is_refused(write_dicom, tmp_path):
    content = bytearray(gzip.compress(write_dicom("plain", PIXELS).read_bytes()))
    content[-6] ^= 1
    (tmp_path / "wrong.dcm.gz").write_bytes(content)
    with pytest.raises(ScanError, match="damaged or cut short"):
        read_dicom(tmp_path / "wrong.dcm.gz")


def test_pixels_that_a_small_file_would_inflate_to_are_refused_before(write_dicom, tmp_path):
    """A few kilobytes that say, with one voice, 20,000 x 20,000 pixels."""
    content = write_dicom("large", PIXELS, Rows=20000, Columns=20000).read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    content = content[:place] + (2 * 20000**2).to_bytes(4, "little") + content[place + 4 :]
    (tmp_path / "large.dcm.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ScanError, match="speaks of 800000000 bytes of pixels, more than the 268"):
        read_dicom(tmp_path / "large.dcm.gz")


def test_deflated_file_cut_short_is_refused(write_dicom):
    path = deflated(write_dicom("cut", PIXELS), 1000)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ScanError, match="damaged or cut short"):
        read_dicom(path)


def test_gzip_of_several_members_is_read(write_dicom, tmp_path):
    content = write_dicom("plain", PIXELS).read_bytes()
    (tmp_path / "two.dcm.gz").write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]))
    np.testing.assert_array_equal(read_dicom(tmp_path / "two.dcm.gz")[0].array[..., 0].T, PIXELS)


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("what", ["orientations", "shifts"])
def test_thousands_of_places_in_one_file_take_seconds(write_dicom, what):
    """Grouping in pairs took more than a minute for 6,000; here 3,000 may take 15 s of processor time."""
    count = 3000
    turns = np.linspace(0, np.pi, count, endpoint=False) if what == "orientations" else np.zeros(count)
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[10.0 * k if what == "shifts" else 0, 0, 0])],
            PlaneOrientationSequence=[
                item(ImageOrientationPatient=[round(float(np.cos(a)), 6), round(float(np.sin(a)), 6), 0, 0, 0, 1])
            ],
        )
        for k, a in enumerate(turns)
    ]
    path = write_dicom(
        "many", np.zeros((count, 2, 2), np.uint16), NumberOfFrames=count, PerFrameFunctionalGroupsSequence=frames
    )
    started = time.process_time()
    scans = read_dicom(path)
    assert len(scans) > 300
    assert time.process_time() - started < 15


def zeros(place, count):
    """A deflated file with as many zeros before its elements, within an item, or behind its pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID, dataset.file_meta.MediaStorageSOPClassUID = DeflatedExplicitVRLittleEndian, MR
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    head = file.getvalue()[: 132 + 12 + int.from_bytes(file.getvalue()[140:144], "little")]
    content = {
        "before": BODY[:34] + bytes(count) + BODY[34:], "behind": BODY + bytes(count),
        "within": b"\x08\0\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4 + bytes(count)
        + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" + BODY,
    }  # fmt: skip
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return head + machine.compress(content[place]) + machine.flush()


MR = "1.2.840.10008.5.1.4.1.1.4"
BODY = (
    b"\x08\0\x16\0UI\x1a\0" + MR.encode().ljust(26, b"\0") + b"\x28\0\x02\0US\2\0\1\0\x28\0\4\0CS\x0c\0MONOCHROME2 "
    b"\x28\0\x10\0US\2\0\3\0\x28\0\x11\0US\2\0\4\0\x28\0\0\1US\2\0\x10\0\x28\0\1\1US\2\0\x10\0"
    b"\x28\0\2\1US\2\0\x0f\0\x28\0\3\1US\2\0\0\0\xe0\x7f\x10\0OW\0\0\x18\0\0\0" + PIXELS.tobytes()
)


@pytest.mark.parametrize(
    ("place", "said"),
    [("before", "more than 100000 elements"), ("within", "more elements"), ("behind", None)],
)
def test_zeros_that_look_like_elements_are_not_read_one_by_one(tmp_path, place, said):
    """60 MB are eight million elements of tag 0, half a minute of reading; they deflate to 60 kB."""
    path = tmp_path / "zeros.dcm"
    path.write_bytes(zeros(place, 60 << 20))
    started = time.process_time()
    with pytest.raises(ScanError, match=said) if said else nullcontext():
        read_dicom(path)
    assert time.process_time() - started < 15


@pytest.mark.parametrize("place", ["before", "within", "behind"])
def test_few_zeros_are_no_harm(tmp_path, place):
    path = tmp_path / "zeros.dcm"
    path.write_bytes(zeros(place, 80))
    np.testing.assert_array_equal(read_dicom(path)[0].array[..., 0].T, PIXELS)

"""Tensor files are safetensors files, whoever wrote them, and damaged ones are refused before memory is taken."""

from __future__ import annotations

import json
import random

import pytest
import safetensors.torch
import torch

from napari_brgm.tensor_file import TensorFileError, read_header, read_tensors, write_tensors

TENSORS = {
    "half": torch.randn(3, 5).half(),
    "mask": torch.tensor([[True, False, True]]),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "bytes": torch.arange(7, dtype=torch.uint8),
    "wide": torch.tensor([2**63 + 1], dtype=torch.uint64),
    "empty": torch.zeros(0, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}
METADATA = {"format": "test", "note": "Grüße"}


def same(found):
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_the_library_reads_what_we_write(tmp_path):
    path = tmp_path / "ours.safetensors"
    write_tensors(path, TENSORS, METADATA)
    same(safetensors.torch.load_file(path))
    with safetensors.safe_open(path, "pt") as handle:
        assert handle.metadata() == METADATA


def test_we_read_what_the_library_writes(tmp_path):
    path = tmp_path / "theirs.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in TENSORS.items()}, path, metadata=METADATA)
    found, metadata = read_tensors(path)
    same(found)
    assert metadata == METADATA


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"not json",
        b'{"x": 3}',
        b'{"x": {"dtype": "F32", "shape": [1e9], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [99999999999, 99999999999], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"x": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        b'{"__metadata__": {"a": 1}}',
        b"[" * 100_000,
    ],
)
def test_a_hostile_header_is_refused(tmp_path, header):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(TensorFileError):
        read_tensors(path)


def test_the_header_alone(tmp_path):
    """Names and metadata without the tensors, which may be cut off; what is damaged is refused as in a whole read."""
    path = tmp_path / "valid.safetensors"
    write_tensors(path, TENSORS, METADATA)
    names, metadata = read_header(path)
    assert (set(names), metadata) == (set(TENSORS), METADATA)
    whole = path.read_bytes()
    for data in (b"", whole[:7], whole[:60], b"\0" * 7 + b"\x40{}", whole[:8] + b"[" * len(whole)):
        path.write_bytes(data)
        with pytest.raises(TensorFileError):
            read_header(path)


def test_a_header_that_claims_terabytes_is_refused(tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(TensorFileError, match="longer than the file"):
        read_tensors(path)


def test_mutations_end_in_tensors_or_one_kind_of_error(tmp_path):
    """Truncations and changed bytes: never another exception."""
    path = tmp_path / "valid.safetensors"
    write_tensors(path, TENSORS, METADATA)
    valid = path.read_bytes()
    header = json.loads(valid[8 : 8 + int.from_bytes(valid[:8], "little")])
    assert set(header) == {*TENSORS, "__metadata__"}
    dice = random.Random(0)
    refused = 0
    for _ in range(1000):
        data = bytearray(valid)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            read_tensors(path)
        except TensorFileError:
            refused += 1
    assert refused > 300


def written(path, header, data=bytes(64)):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_very_many_axes_are_one_sentence(tmp_path):
    """Catches torch's own RuntimeError, which a worker of a window swallows."""
    header = {"x": {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}}
    with pytest.raises(TensorFileError, match="'x' has 100 axes, and more than 32 are not read"):
        read_tensors(written(tmp_path / "x.safetensors", header))


def test_entries_that_share_bytes_are_refused(tmp_path):
    """Catches 400 entries of one range, each of which would be copied."""
    header = {f"x{i}": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]} for i in range(400)}
    with pytest.raises(TensorFileError, match="are those of another tensor too"):
        read_tensors(written(tmp_path / "x.safetensors", header))
    overlapping = {"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}} | {
        "b": {"dtype": "U8", "shape": [8], "data_offsets": [7, 15]}
    }
    with pytest.raises(TensorFileError, match="'b' are those of another"):
        read_tensors(written(tmp_path / "x.safetensors", overlapping))


def test_empty_tensors_share_nothing(tmp_path):
    header = {name: {"dtype": "U8", "shape": [0, 3], "data_offsets": [4, 4]} for name in "ab"}
    header["c"] = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
    assert read_tensors(written(tmp_path / "x.safetensors", header))[0].keys() == {"a", "b", "c"}


@pytest.mark.parametrize("shape", [[0, 2**70], [0, 2**62, 2**62], [2**64, 0]])
def test_axes_beyond_any_count_are_refused(tmp_path, shape):
    header = {"x": {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]}}
    try:
        found = read_tensors(written(tmp_path / "x.safetensors", header))[0]
        assert found["x"].numel() == 0
    except TensorFileError as error:
        assert "the shape of 'x'" in str(error)


def test_names_are_quoted_as_text(tmp_path):
    header = {"\x1b[31m" + "n" * 500: {"dtype": "U8", "shape": [9], "data_offsets": [0, 8]}}
    with pytest.raises(TensorFileError) as told:
        read_tensors(written(tmp_path / "x.safetensors", header))
    assert "\x1b" not in str(told.value) and len(str(told.value)) < 120


def test_text_that_is_no_utf8_can_be_read_by_the_library(tmp_path):
    write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"note": "Sch\udce4del"})
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as handle:
        assert handle.metadata() == {"note": "Sch\ufffddel"}


def test_a_name_as_long_as_a_name_may_be(tmp_path):
    """Catches a temporary name that is longer than the name itself."""
    path = tmp_path / ("x" * 243 + ".safetensors")
    write_tensors(path, {"a": torch.zeros(1)}, {}, private=True)
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_mode & 0o777 == 0o600

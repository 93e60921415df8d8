"""No number in a file is believed: sizes, strides, offsets and shapes stay within what the file holds."""

from __future__ import annotations

import pickle

import pytest
import torch

from napari_brgm.zoo.published_file import read_published


@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
def test_tensors_beyond_their_storage_are_refused(published, hostile, refused):
    """Terabytes by size, by stride, by offset, and by one storage that is expanded or named again and again."""
    weights = published.random_weights(4)
    for size, stride, offset in [
        ((5,), (1,), 0),
        ((2,), (1,), 3),
        ((2,), (4,), 0),
        ((1 << 40,), (1,), 0),
        ((1 << 40,), (0,), 0),
        ((8,), (0,), 0),
        ((-1,), (1,), 0),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
        ((2, 2), (1,), 0),
        ((0,), (1,), 0),
        ((1,) * 9, (1,) * 9, 0),
        ((1 << 47,) * 8, (0,) * 8, 0),
        ((1 << 70,), (1,), 0),
        ((2.0,), (1,), 0),
        (([2],), (1,), 0),
        ((True,), (1,), 0),
    ]:
        tensor = hostile.beyond(size, stride, offset)
        said = refused(published.pytorch_pickle(weights, layers={"_buffers": {"noise_const": tensor}}))
        assert any(word in said for word in ("claims", "malformed", "empty")), (size, stride, offset, said)
    for axes in ([1 << 40], [3], [-4], [2, 2, 2], ["4"]):
        array = published.tensorflow_pickle(weights)
        rigged = _reshaped(array, axes)
        said = refused(rigged)
        assert "claims" in said or "malformed" in said or "damaged" in said, axes


def _reshaped(data: bytes, axes: list) -> bytes:
    """The file with another shape for the mean w, a row of two."""
    shape = pickle.dumps(tuple(axes), 2)[2:-1].replace(b"q\x00", b"").replace(b"q\x01", b"")
    at = data.index(b"dlatent_avg")
    cut = data.index(b"K\x01K\x02\x85", at)
    return data[: cut + 2] + shape + data[cut + 5 :]


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_any_layout_come_back(published, tmp_path, zipped):
    """Halves, doubles, transposed and shared ones: catches a reader that forgets strides, offsets or element types."""
    weights = published.random_weights(4)
    state = published.rosinality_state(weights)
    exact = {k: v.half().float() for k, v in state.items()}
    both = torch.stack([torch.full((2,), 7.0), exact["conv1.activate.bias"]])
    state = {k: v.half() for k, v in exact.items()}
    state["conv1.activate.bias"] = both[1]
    state["style.1.weight"] = exact["style.1.weight"].T.contiguous().T.double()
    state["style.2.weight"] = exact["style.2.weight"].T.contiguous().bfloat16().T
    state["to_rgb1.bias"] = torch.nn.Parameter(exact["to_rgb1.bias"])
    path = tmp_path / "net.pt"
    path.write_bytes(published.rosinality_pt(weights, zipped=zipped, state=state))
    found = read_published(path).weights
    for name, value in weights.items():
        assert found[name].dtype == torch.float32 and found[name].is_contiguous()
        tolerance = 1e-2 if name == "mapping.fc1.weight" else 1e-3
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=1e-3)

"""A checkpoint comes back as it was, in small files, whatever happens while the next one is written."""

from __future__ import annotations

import os

import pytest
import torch

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.training import checkpoint as package
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint

STATE = {
    "net": {"weight": torch.arange(12.0).reshape(3, 4), "half": torch.ones(2, dtype=torch.bfloat16)},
    "optimiser": {
        "state": {0: {"step": torch.tensor(3.0)}, 7: {}},
        "groups": [{"betas": (0.9, 0.99), "lr": 1e-300, "flag": None}],
    },
    "generator": torch.Generator().manual_seed(1).get_state(),
    "shown": 2**60,
    "empty": torch.zeros(0, 3),
    "infinite": float("inf"),
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def test_state_comes_back_exactly(tmp_path):
    """Catches int keys read as text, tuples as lists, lost dtypes and shapes."""
    save_checkpoint(tmp_path / "new", STATE)
    assert same(load_checkpoint(tmp_path / "new"), STATE)


def test_large_tensors_are_split(tmp_path):
    state = {"a": torch.randn(700, 100), "b": torch.randn(3), "c": torch.randn(120, 120).T}
    save_checkpoint(tmp_path, state, limit_bytes=100_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 5
    assert max(sizes) <= 100_000
    assert same(load_checkpoint(tmp_path), state)


def test_only_the_newest_generation_stays(tmp_path):
    for shown in range(3):
        save_checkpoint(tmp_path, {"shown": shown, "net": torch.full((2,), float(shown))})
    assert load_checkpoint(tmp_path)["shown"] == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch, fails_at):
    """Catches parts overwritten in place, and an index that names parts that are not there."""
    big = {"net": torch.zeros(60_000)}
    save_checkpoint(tmp_path, big, limit_bytes=100_000)
    calls = iter(range(100))

    def full(path, tensors, metadata):
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device")
        write(path, tensors, metadata)

    write = package.write_tensors
    with monkeypatch.context() as patched, pytest.raises(OutputError, match="No space left on device; free some space"):
        patched.setattr(package, "write_tensors", full)
        save_checkpoint(tmp_path, {"net": torch.ones(60_000)}, limit_bytes=100_000)
    assert same(load_checkpoint(tmp_path), big)
    save_checkpoint(tmp_path, {"shown": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]  # the failed one's parts are gone too


def test_damage_is_told(tmp_path):
    assert not has_checkpoint(tmp_path)
    with pytest.raises(WeightsError, match="no complete checkpoint"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, STATE)
    assert has_checkpoint(tmp_path)
    (part,) = tmp_path.glob("*.safetensors")
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    with pytest.raises(WeightsError, match="not as it was written"):
        load_checkpoint(tmp_path)
    os.unlink(part)
    with pytest.raises(WeightsError, match="is missing"):
        load_checkpoint(tmp_path)
    (tmp_path / "index.json").write_text('{"format": ')
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="set"):
        save_checkpoint(tmp_path, {"a": {1, 2}})

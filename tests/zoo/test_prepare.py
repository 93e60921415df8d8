"""An installed network gets its straight line once: cut and gone on with, and nothing else of it changes."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.tensor_file import read_tensors
from napari_brgm.zoo.folder import home, user_folder
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.prepare import Preparation, can_be_prepared
from napari_brgm.zoo.registry import load_prior
from napari_brgm.zoo.verify import verify


@pytest.fixture
def entry(weights):
    return import_file(weights, "net")


def drawn(work, images):
    while work.done < min(images, work.total):
        work.more()


def test_only_the_line_is_added(entry):
    before, _ = read_tensors(user_folder() / "net" / entry.file)
    assert can_be_prepared(entry)
    with Preparation("net") as work:
        drawn(work, work.total)
        new = work.finish()
    after, metadata = read_tensors(user_folder() / "net" / new.file)
    assert set(after) - set(before) == {"linearisation.mean", "linearisation.basis", "linearisation.noise"}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items()) and "format" in metadata
    assert new.sha256 != entry.sha256 and new.original_sha256 == entry.original_sha256
    assert "straight line" in (user_folder() / "net" / new.card).read_text().lower()
    assert all(verdict.intact for verdict in verify() if verdict.name == "net")
    prior = load_prior("net")
    assert prior.parts.line is not None and prior.parts.line.complete and not prior.parts.line.exact
    assert not (home() / "preparing" / "net.safetensors").exists()
    with pytest.raises(WeightsError, match="needs no preparation"):
        Preparation("net")


def test_a_cut_preparation_goes_on(entry):
    with Preparation("net") as whole:
        drawn(whole, whole.total)
        line = whole._fit.line().model
    with pytest.raises(KeyboardInterrupt), Preparation("net") as work:
        drawn(work, 64)
        raise KeyboardInterrupt
    with Preparation("net") as again:
        assert again.done == 64
        assert again.seconds_left != again.seconds_left  # nan: nothing is known yet
        drawn(again, again.total)
        found = again._fit.line().model
    assert torch.equal(found.coarse, line.coarse) and found.noise_variance == line.noise_variance


def test_what_was_kept_of_other_weights_is_begun_again(entry, tmp_path):
    with Preparation("net") as work:
        drawn(work, 64)
    kept = home() / "preparing" / "net.safetensors"
    kept.write_bytes(kept.read_bytes()[:200])
    with Preparation("net") as again:
        assert again.done == 0


def test_others_are_refused():
    with pytest.raises(WeightsError, match="ships with"):
        Preparation("brain-axial-128")
    with pytest.raises(WeightsError, match="not installed"):
        Preparation("nobody")

"""The table of latents on disk: its Adam is torch's, rows keep to themselves, and it comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError, OutputError
from napari_brgm.training.latent_table import LatentTable

START = torch.linspace(-1, 1, 7)


def gradients(step: int) -> torch.Tensor:
    return torch.randn(2, 7, generator=torch.Generator().manual_seed(step))


def test_each_row_is_an_adam_of_its_own(tmp_path):
    """Against torch.optim.Adam: one row every step, the other every second one, each counted by itself."""
    table = LatentTable(tmp_path, START, 5, new=True)
    rows = [torch.nn.Parameter(START.clone()) for _ in range(2)]
    optimisers = [torch.optim.Adam([row], lr=0.1, betas=(0.8, 0.95), eps=1e-8) for row in rows]
    seen = [0, 0]
    for step in range(8):
        for which, place in ((0, 3), (1, 1)):
            if which == 1 and step % 2:
                continue
            gradient = gradients(step)[which : which + 1]
            index = torch.tensor([place])
            table.put(index, table.step(index, gradient, 0.1, seen[which]))
            rows[which].grad = gradient[0].clone()
            optimisers[which].step()
            seen[which] += 1
    torch.testing.assert_close(table.take(torch.tensor([3, 1])), torch.stack([row.data for row in rows]))
    torch.testing.assert_close(table.values[[0, 2, 4]], START.expand(3, -1))  # untouched


def test_a_batch_equals_its_rows(tmp_path):
    together, apart = LatentTable(tmp_path / "a", START, 5, True), LatentTable(tmp_path / "b", START, 5, True)
    for step in range(3):
        gradient, index = gradients(step), torch.tensor([4, 0])
        together.put(index, together.step(index, gradient, 0.1, step))
        for k in range(2):
            one = index[k : k + 1]
            apart.put(one, apart.step(one, gradient[k : k + 1], 0.1, step))
    torch.testing.assert_close(together.values, apart.values, rtol=0, atol=0)


def test_it_comes_back_as_it_was(tmp_path):
    table, index = LatentTable(tmp_path, START, 600, True), torch.tensor([599, 300])
    table.put(index, table.step(index, gradients(0), 0.1, 0))
    table.flush()
    again = LatentTable(tmp_path, torch.zeros(7), 600, new=False)
    assert torch.equal(again.values, table.values) and torch.equal(again.values[1], START)
    # and so do the moments: the next step is the same
    wanted = table.step(index, gradients(1), 0.1, 1).clone()
    table = LatentTable(tmp_path / "other", START, 600, True)
    table.put(index, table.step(index, gradients(0), 0.1, 0))
    torch.testing.assert_close(table.step(index, gradients(1), 0.1, 1), wanted, rtol=0, atol=0)
    assert torch.equal(LatentTable(tmp_path, START, 600, new=True).values, START.expand(600, -1))  # a new one


def test_what_cannot_be_opened_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no latents"):
        LatentTable(tmp_path / "none", START, 5, new=False)
    LatentTable(tmp_path / "a", START, 5, True).flush()
    for start, rows in ((START, 6), (START[:6], 5)):
        with pytest.raises(InputError, match="of other slices"):
            LatentTable(tmp_path / "a", start, rows, new=False)
    np.save(tmp_path / "a" / "latents-first.npy", np.zeros((5, 7)))
    with pytest.raises(InputError, match="of other slices"):
        LatentTable(tmp_path / "a", START, 5, new=False)
    for damage in (b"", b"\x93NUMPY\x01\x00", b"no array at all"):
        (tmp_path / "a" / "latents-first.npy").write_bytes(damage)
        with pytest.raises(InputError, match="cannot be read"):
            LatentTable(tmp_path / "a", START, 5, new=False)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another"):
        LatentTable(tmp_path / "file", START, 5, new=True)

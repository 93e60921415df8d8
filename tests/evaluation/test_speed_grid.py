"""The grid of timings goes on where it stopped; nothing here depends on how fast the machine is."""

from __future__ import annotations

import json

import pytest
import torch

from napari_brgm.evaluation import speed_grid as module
from napari_brgm.evaluation.machine import median_seconds, peak_flops, seconds_of
from napari_brgm.evaluation.speed_grid import GridSettings, speed_grid, timed_cell

GRID = GridSettings(
    resolutions=(64, 32), configs=("e",), batches=(1, 2), steps=3, vi_samples=2, samples=4, seconds=0.01
)


@pytest.fixture
def counted_cells(monkeypatch):
    seen = []

    def cell(resolution, config, batch, grid, device, tell):
        seen.append((resolution, config, batch))
        return {"resolution": resolution, "config": config, "batch": batch, "jobs": {}}

    monkeypatch.setattr(module, "timed_cell", cell)
    monkeypatch.setattr(module, "peak_flops", lambda *_, **__: {"matrix product": 1e9})
    return seen


def test_a_cut_run_goes_on(counted_cells, tmp_path):
    out = tmp_path / "deep" / "grid.json"
    first = speed_grid(GridSettings(**{**_fields(GRID), "resolutions": (32,)}), "cpu", out)
    assert counted_cells == [(32, "e", 1), (32, "e", 2)] and not first["left"]
    again = speed_grid(GRID, "cpu", out)
    assert counted_cells[2:] == [(64, "e", 1), (64, "e", 2)]  # small ones were kept
    assert json.loads(out.read_text())["cells"].keys() == again["cells"].keys()
    speed_grid(GridSettings(**{**_fields(GRID), "steps": 5}), "cpu", out)
    assert len(counted_cells) == 8  # other steps: nothing can be kept


def test_a_budget_leaves_the_rest(counted_cells):
    found = speed_grid(GRID, "cpu", budget=-1.0)
    assert counted_cells == [] and found["left"] == ["32-e-1", "32-e-2", "64-e-1", "64-e-2"]


def test_a_cell_times_every_job(monkeypatch):
    """A small net in the place of the published one; FLOP are those of the published one."""
    monkeypatch.setattr(module, "network", lambda resolution, config: _tiny())
    told = []
    alone = timed_cell(32, "e", 1, GRID, torch.device("cpu"), told.append)["jobs"]
    assert set(alone) == {"forward", "step", "map", "vi", "laplace", "draws"} and len(told) == 6
    assert all(job["seconds"] > 0 and job["flop"] > 0 for job in alone.values())
    assert alone["map"]["flop"] == 3 * alone["step"]["flop"] and alone["vi"]["flop"] == 2 * alone["map"]["flop"]
    pair = timed_cell(32, "e", 2, GRID, torch.device("cpu"))["jobs"]
    assert set(pair) == {"forward", "step", "draws"}
    assert pair["forward"]["flop"] == 2 * alone["forward"]["flop"] and pair["draws"] != alone["draws"]


def test_the_machine_s_arithmetic_is_measured():
    found = peak_flops("cpu", repeats=1)
    assert set(found) == {"matrix product", "convolution"} and min(found.values()) > 1e6
    assert seconds_of(lambda: sum(range(200_000)), "cpu", busy=True) > 0
    assert median_seconds(lambda: None, 3) >= 0


def _fields(grid):
    return {name: getattr(grid, name) for name in grid.__slots__}


def _tiny():
    from napari_brgm.priors.stylegan2 import StyleGAN2

    return StyleGAN2({4: 8, 8: 8, 16: 8, 32: 8}, z_dim=8, w_dim=8, mapping_layers=2).requires_grad_(False).eval()

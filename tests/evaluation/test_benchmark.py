"""Timings: every job runs on any prior, and the machine is named."""

import json

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation import benchmark
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.settings import InferenceSettings

SMALL = LinearGaussian(torch.zeros(1, 32, 32), 0.1 * torch.randn(4, 1, 32, 32), 0.01)


def test_all_jobs_are_timed_and_printed(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "WIDTHS_256", {4: 8, 8: 8, 16: 4})
    timings = benchmark.run(SMALL, 1, settings=InferenceSettings(steps=1), samples=2, device="cpu")
    assert list(timings["restorations"]) == [
        "in-painting, MAP",
        "in-painting, VI, 2 samples",
        "super-resolution x4, MAP",
    ]
    assert set(timings["generator_256"]) == set(timings["reference_256"])
    assert all(seconds > 0 for part in ("restorations", "generator_256") for seconds in timings[part].values())
    assert timings["machine"]["processor"]
    assert timings["machine"]["torch"] == torch.__version__
    assert "forward + backward" in capsys.readouterr().out


def test_repeats_must_be_positive():
    with pytest.raises(InputError, match="repeats"):
        benchmark.run(SMALL, 0)
    for parts in ((), ("grid", "gird")):
        with pytest.raises(InputError, match="parts"):
            benchmark.run(SMALL, 1, parts=parts)


def test_parts_are_chosen_and_written(tmp_path, monkeypatch, capsys):
    """Time to the reference loss and the targets are printed; those of a GPU say why they have no seconds."""
    cell = {
        "resolution": 64,
        "config": "e",
        "batch": 1,
        "jobs": {"map": {"seconds": 2.0, "flop": 4e9, "timed_steps": 5}},
    }
    settings = {"precision": "float32", "compiled": False, "busy": True, "steps": 7, "vi_samples": 6, "samples": 32}
    grid = {
        "made_by": {"grid": settings},
        "peak": {"convolution": 4e9},
        "cells": {"64-e-1": cell},
        "left": ["1024-e-1"],
    }
    monkeypatch.setattr(benchmark, "speed_grid", lambda *_: grid)
    out = tmp_path / "all.json"
    timings = benchmark.run(
        SMALL, 1, parts=("reach", "targets", "grid"), settings=InferenceSettings(steps=3), device="cpu",
        reference_steps=3, rates=(0.05,), out=out,
    )  # fmt: skip
    assert "restorations" not in timings and timings["reach"][0]["task"] == "in-painting"
    assert [row["seconds"] for row in timings["targets"]] == [None] * 4  # 32 px, no GPU
    assert json.loads(out.read_text())["grid"]["left"] == ["1024-e-1"]
    printed = capsys.readouterr().out
    assert "needs a GPU" in printed and "share" in printed and "64 px" in printed

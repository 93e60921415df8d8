"""Timings: every job runs on any prior, and the machine is named."""

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

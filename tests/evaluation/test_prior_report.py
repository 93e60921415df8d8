"""The report must not claim a goal that was not reached, nor compare the wrong way round."""

import json

import pytest
from evaluation.grid_rows import grid_row

from napari_brgm.evaluation.prior_report import PriorReport, PriorRow


def row(own, rival, w_plus=9.0):
    """Masks 0, 1 and x2; ``own`` and ``rival`` are their RMSE, and the distances of a draw are 0.06."""
    rows = [
        grid_row(method=method, task="whole", rmse=rmse)
        for method, rmse in (("invert-wplus", w_plus), ("invert-w", 12.0))
    ]
    for task, a, b in zip(("mask-0", "mask-1", "x2"), own, rival, strict=True):
        rows += [
            grid_row(method="ours-mean", task=task, rmse=a), grid_row(method="linear", task=task, rmse=b),
            grid_row(method="ours-sample", task=task, rmse=30.0, ms_ssim=0.06),
        ]  # fmt: skip
    frechet = {"samples": 5.0, "training images": 1.0, "linear": 8.0}
    return PriorRow("new", "brain-128", 128, rows, frechet, {})


def test_comparisons():
    one = row((20.04, 25.2, 5.0), (20.0, 25.0, 6.0))
    assert one.at_or_under(one.holes) == 1  # 20.0 is level to a tenth, 25.2 is above
    assert one.at_or_under(one.factors) == 1
    assert one.percent("draw", "ms_ssim", "mask-0") == pytest.approx(-40)
    assert one.mean_percent("draw", "lpips", one.holes) is None


def test_goals_are_said_as_they_are(tmp_path):
    report = PriorReport([row((20, 25.2, 5), (20, 25, 6)), row((19, 24, 5), (20, 25, 6), w_plus=8.0)], {"seed": 0})
    report.write(tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "RMSE 9.0, goal 8: not reached." in text and "RMSE 8.0, goal 8: reached." in text
    assert "on 1 of 2 masks: not reached." in text and "on 2 of 2 masks: reached." in text
    assert "One draw, 1 - MS-SSIM against the linear mean: -40 % over the masks, goal -30 %: reached on 2 of 2." in text
    assert "LPIPS is left out" in text and "## LPIPS" not in text
    goals = json.loads((tmp_path / "results.json").read_text())["priors"]["new"]["goals"]
    assert len(goals) == 5

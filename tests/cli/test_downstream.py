"""evaluate downstream in the shell: options are passed on, and its tables name the command that makes them."""

from __future__ import annotations

from types import SimpleNamespace

from napari_brgm.evaluation import held_out_draws
from napari_brgm.evaluation.downstream import report, study


def test_options_are_passed_on_and_named_in_the_table(shell, tmp_path, monkeypatch):
    seen = {}

    class Reported:
        def __init__(self, rows, of) -> None:
            seen["rows"] = rows

        def write(self, folder, command) -> None:
            (folder / "downstream.md").write_text(f"`{command}`", "utf-8")

    def begun(*given):
        seen["given"] = given
        return SimpleNamespace(rows=lambda tell: ["a row"])

    monkeypatch.setattr(held_out_draws, "HeldOutDraws", lambda *given: given)
    monkeypatch.setattr(study, "DownstreamStudy", begun)
    monkeypatch.setattr(report, "DownstreamReport", Reported)
    out = tmp_path / "out"
    done = shell(
        "evaluate", "downstream", "--data", tmp_path, "--out", out, "--tasks", "x4, mask-3", "--slices", 5,
        "--methods", "bicubic", "--samples", 8, "--seed", 2, "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    expected = ("brain-axial-128", tmp_path, out, ("x4", "mask-3"), 5, 8, 2, "cpu"), ("bicubic",)
    assert seen == {"given": expected, "rows": ["a row"]}
    assert "--slices 5 --samples 8 --methods bicubic --seed 2" in done.stdout


def test_refusals_are_one_sentence_and_leave_nothing(shell, tmp_path):
    out = tmp_path / "out"
    given = ("evaluate", "downstream", "--data", tmp_path, "--out", out)
    assert "there is no prior 'nobody'" in shell.refused(*given, "--prior", "nobody")
    assert not out.exists()

"""Held-out slices of toys: kept draws, TARP of them, and conformal bounds, all on a prior whose draws are the truth."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.datasets import Framing
from napari_brgm.errors import InputError
from napari_brgm.evaluation.bounds import BoundRow, BoundTable, bound_rows, conformal_quantile
from napari_brgm.evaluation.calibration_cells import KeptDraws
from napari_brgm.evaluation.grid import unscaled
from napari_brgm.evaluation.held_out_draws import HeldOutDraws
from napari_brgm.evaluation.seam import SeamSums
from napari_brgm.evaluation.tarp_study import TarpTable, tarp_rows
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo

SIZE, SUBJECTS = 32, 24


@pytest.fixture(scope="module")
def prior(smooth_images) -> LinearGaussian:
    info = PriorInfo("toy-32", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    return LinearGaussian.fit(smooth_images(80, SIZE), 12, info)


@pytest.fixture(scope="module")
def held(prior):
    """Two slices of each subject, drawn from the prior with the white noise that it expects."""
    grey = (prior.sample(2 * SUBJECTS, seed=5)[:, 0].numpy() + 1) * 127.5
    grey = (grey + 6 * np.random.default_rng(5).standard_normal(grey.shape)).clip(0, 255).astype(np.float32)
    slices = SimpleNamespace(
        images=grey[:, None], white=255, subjects=np.repeat(np.arange(SUBJECTS), 2),
        names=[f"s{i}" for i in range(2 * SUBJECTS)], subject_names=[f"subject-{i}" for i in range(SUBJECTS)],
        notes=(),
    )  # fmt: skip
    return SimpleNamespace(
        name="toys", framing=Framing(SIZE, 1.5), fits=lambda prior: True, read=lambda data, part: slices, training="",
        archive=lambda data, part: data / f"no-{part}-here",
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def drawn(prior, held, folder) -> HeldOutDraws:
    return HeldOutDraws(prior, folder, folder, ("mask-0", "x4"), SUBJECTS, 16, device="cpu", sets=[held])


@pytest.fixture(scope="module")
def rows(drawn):
    return tarp_rows(drawn)


def test_draws_are_kept_as_the_calibration_keeps_them(drawn, rows, folder, monkeypatch):
    assert len(list((folder / "cache" / "toy-32" / "cells" / "toys").glob("*/unscaled--*.npz"))) == 2 * SUBJECTS
    monkeypatch.setattr(unscaled, "restored", lambda *_: pytest.fail("restored again"))
    said = []
    again = list(drawn.slices(lambda *told: said.append(told)))
    assert len(again) == 2 * SUBJECTS and said == [(48, 48, "figures")]
    one = again[0]
    assert one.hidden.shape == one.kept.mean.shape and one.kept.draws.shape == (16, one.task.region.sum())
    assert drawn.calibrated(one).shape == one.kept.draws.shape  # no factors on this card: the same draws
    np.testing.assert_allclose(drawn.calibrated(one), one.kept.draws, rtol=1e-5)


def test_tarp_counts_exchangeable_draws_evenly_and_sees_that_they_know_nothing(prior, held, tmp_path, monkeypatch):
    """Draws of the prior, whatever was measured: even by the box, and farther than the truth by the nearest slice.

    Catches lost standardisation, a reference of the same subject, and counts the wrong way round.
    """

    def ignorant(observed, task, prior, method, settings, samples, seed, device):
        number = int(observed.sum()) % 100_000
        grey = 127.5 * (prior.sample(samples, seed=number)[:, 0].numpy() + 1)
        grey = (grey + 6 * np.random.default_rng(number).standard_normal(grey.shape)).clip(0, 255).astype(np.float32)
        draws = grey[:, task.region]
        return KeptDraws(draws.mean(axis=0), draws, 1.0, 0.0, (SeamSums(), SeamSums()))

    monkeypatch.setattr(unscaled, "restored", ignorant)
    rows = tarp_rows(HeldOutDraws(prior, tmp_path, tmp_path, ("x4",), 2 * SUBJECTS, 16, device="cpu", sets=[held]))
    lines = TarpTable(rows).markdown().splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == ["box"] * 4 + ["nearest"] * 4
    assert all(line.endswith("| within |") for line in lines[:4]), lines
    assert all(line.endswith("| outside, above |") for line in lines[4:]), lines


def test_a_curve_is_told_by_its_side(rows):
    kinds = {(row.task, row.pixels) for row in rows}
    most = {(task, pixels) for task in ("mask-0", "x4") for pixels in ("all", "varied")}
    # hardly a hidden pixel of the toys varies by 30 grey levels: by the processor's rounding one does, or none
    assert most - {("mask-0", "varied")} <= kinds <= most and len(rows) == len(kinds) * SUBJECTS * 2 * 2
    none, every = ([replace(row, nearer=count) for row in rows] for count in (0, 16))
    assert TarpTable(none).markdown().count("| outside, above |") == 4 * len(kinds)
    assert TarpTable(every).markdown().count("| outside, below |") == 4 * len(kinds)


def test_the_seed_places_references(prior, held, folder, rows):
    other = HeldOutDraws(prior, folder, folder, ("mask-0",), 4, 16, device="cpu", sets=[held])
    assert other.picked_subjects == sorted(other.picked_subjects)
    again = tarp_rows(other)
    same = {(row.task, row.slice, row.reference, row.stage, row.pixels): row.nearer for row in rows}
    assert all(same.get((r.task, r.slice, r.reference, r.stage, r.pixels), r.nearer) == r.nearer for r in again)


def test_tarp_writes_rows_a_table_and_a_picture(rows, tmp_path):
    TarpTable(rows).write(tmp_path)
    with (tmp_path / "tarp.csv").open() as stream:
        kept = list(csv.DictReader(stream))
    assert len(kept) == len(rows) and int(kept[0]["nearer"]) == rows[0].nearer
    assert (tmp_path / "tarp.png").stat().st_size > 5000
    assert (tmp_path / "tarp.md").read_text().startswith("| task | references | draws | pixels | slices (subjects) |")


def test_bounds_of_held_out_slices(drawn, tmp_path):
    found = bound_rows(drawn)
    assert {row.quantity for row in found if row.task == "x4"} == {"PSNR, dB", "SSIM"}
    regions = [row for row in found if row.task == "mask-0" and row.quantity.startswith("region")]
    assert regions and all(row.scale > 0 for row in regions)
    table = BoundTable(found)
    for task, quantity in {(row.task, row.quantity) for row in found}:
        share, std, _ = table.halvings(task, quantity)
        assert share > 0.85 and std < 0.2
    table.write(tmp_path)
    assert len((tmp_path / "bounds.md").read_text().splitlines()) == 2 + 5
    assert set(json.loads((tmp_path / "bounds.json").read_text())) == {"mask-0", "x4"}


def test_what_cannot_be_is_refused(prior, held, folder):
    with pytest.raises(InputError, match=r"tasks must be some of mask-0, .* got mask-9"):
        HeldOutDraws(prior, folder, folder, ("mask-9",), 4, sets=[held])
    with pytest.raises(InputError, match="at least 4 samples"):
        HeldOutDraws(prior, folder, folder, ("mask-0",), 4, 2, sets=[held])
    with pytest.raises(InputError, match="slices of at least 20 subjects are needed, got 4; ask for more"):
        BoundTable.checked([0, 1, 2, 3, 3])


def _rows(subjects, seed, wide=1.0):
    """Regions whose draws' std is wrong by a factor, two of each subject."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=2 * subjects)
    return [
        BoundRow("mask-0", i, i // 2, "region mean, grey levels", 100.0, wide, 100.0 + float(errors[i]), 32)
        for i in range(2 * subjects)
    ]


@pytest.mark.parametrize("wide", [0.2, 1.0, 5.0])
def test_a_wrong_spread_is_put_right_on_the_other_half(wide):
    rows = _rows(200, 1, wide)
    before = np.mean([row.score <= row.unfitted for row in rows])
    assert (before < 0.5) if wide < 1 else (before > 0.85)
    share, _, q = BoundTable(rows).halvings("mask-0", "region mean, grey levels")
    assert share == pytest.approx(0.9, abs=0.02) and q * wide == pytest.approx(1.645, abs=0.25)


def test_a_bound_of_a_whole_image_is_one_sided():
    row = BoundRow("x4", 0, 0, "PSNR, dB", 30.0, 1.0, 33.0, 32)
    assert row.score == -3.0 and row.unfitted == 0.0
    sure = BoundRow("mask-0", 0, 0, "region mean, grey levels", 30.0, 0.0, 33.0, 32)
    assert sure.score == np.inf


def test_one_more_score_is_below_the_quantile_nine_times_of_ten():
    rng = np.random.default_rng(0)
    held = [rng.normal() <= conformal_quantile(rng.normal(size=19)) for _ in range(4000)]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)
    assert conformal_quantile(np.zeros(8)) == np.inf

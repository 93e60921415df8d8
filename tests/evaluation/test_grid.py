"""The grid on made-up images: right figures, nothing done twice, whoever does it, and refusals in a sentence."""

from __future__ import annotations

import copy
import shutil
import zipfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from evaluation.toy_set import SIZE, TOY, toy_prior, write_toy_set
from PIL import Image

from napari_brgm.errors import BrgmError, InputError, OutputError
from napari_brgm.evaluation.grid import generative, study
from napari_brgm.evaluation.grid.bench import picture_of
from napari_brgm.evaluation.grid.catalogue import METHODS, Setting, method_of
from napari_brgm.evaluation.grid.images import HeldOutImages
from napari_brgm.evaluation.grid.interpolation import Enlargement
from napari_brgm.evaluation.grid.painting import Biharmonic
from napari_brgm.evaluation.grid.rows import read_rows, write_rows
from napari_brgm.evaluation.grid.run import run_grid
from napari_brgm.evaluation.grid.study import Wish, evaluate
from napari_brgm.evaluation.grid.tables import IN_TURN, Tables
from napari_brgm.evaluation.held_out import SETS, evenly_spaced, grey_images
from napari_brgm.evaluation.metrics import rmse
from napari_brgm.evaluation.own_scans import OwnScans
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.settings import InferenceSettings

FAST = InferenceSettings(steps=2)
TASKS = {task.name: task for task in grid_tasks(SIZE)}


@pytest.fixture(scope="module")
def data(tmp_path_factory, smooth_images):
    folder = tmp_path_factory.mktemp("data")
    write_toy_set(folder, smooth_images)
    return folder


@pytest.fixture(scope="module")
def prior(data):
    return toy_prior(data)


@pytest.fixture
def setting(data, prior, tmp_path):
    return Setting(TOY, data, tmp_path, prior, count=6, samples=4, device="cpu", settings=FAST)


def test_rows_are_what_was_measured(setting, data):
    found = run_grid(setting, ("bicubic", "mean-image", "ours"), ("mask-2", "x4"))
    assert not found.failures
    images = HeldOutImages.read(TOY, data, 6)
    tables = Tables(found.rows)
    assert [line.method for line in tables.lines("toy")] == [
        "bicubic", "mean-image", "ours", "ours-mean", "ours-sample",
    ]  # fmt: skip
    assert len(found.rows) == 6 * (1 + 1 + 3 * 2)  # bicubic and the mean image do one task each
    for method, task in (("bicubic", "x4"), ("ours-sample", "mask-2")):
        rows = tables.of("toy", task, method)
        pictures = np.stack([picture_of(setting, row) for row in rows])
        value = dict(tables.figures("toy", "rmse"))[
            next(line for line in tables.lines("toy") if line.method == method)
        ][tables.tasks("toy").index(task)]
        assert value == pytest.approx(rmse(pictures, images.images, TASKS[task].region), rel=1e-3)
        assert [row.image for row in rows] == list(images.names)
        if task == "mask-2":
            seen = ~TASKS[task].region
            assert np.allclose(pictures[:, seen], images.images[:, seen], atol=0.1)  # measured pixels are kept
    ours = tables.of("toy", "mask-2", "ours")[0]
    assert 0 <= ours.held_50 <= ours.held_80 <= ours.held_90 <= ours.held_95 <= 1
    assert ours.std > 0 and ours.crps > 0 and ours.brats_mse > 0 and ours.subject == 0
    assert tables.of("toy", "x4", "bicubic")[0].std is None
    assert picture_of(setting, ours, "std").shape == (SIZE, SIZE)


def test_masks_in_turn_take_each_image_once(setting):
    found = run_grid(setting, ("mean-image",), [f"mask-{k}" for k in range(7)])
    rows = Tables(found.rows).of("toy", IN_TURN, "mean-image")
    assert [row.task for row in rows] == [f"mask-{k}" for k in range(6)]
    assert len({row.image for row in rows}) == 6
    few = run_grid(setting, ("linear-64",), [f"mask-{k}" for k in range(7)], fewer={"linear-64": 2})
    tables = Tables([*found.rows, *few.rows])  # whoever restored fewer images saw them under the same masks
    task_of = {row.image: row.task for row in rows}
    fewer = tables.of("toy", IN_TURN, "linear-64")
    assert len(fewer) == 2 and all(task_of[row.image] == row.task for row in fewer)


def test_a_cut_run_goes_on_where_it_was(setting, monkeypatch):
    calls = []

    def counted(*given, **named):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return restore(*given, **named)

    restore = generative.restore
    monkeypatch.setattr(generative, "restore", counted)
    with pytest.raises(KeyboardInterrupt):
        run_grid(setting, ("ours",), ("x2", "x4"))
    run_grid(setting, ("ours",), ("x2", "x4"))
    assert len(calls) == 13  # 6 images x 2 tasks, and only the one that was cut twice
    again = run_grid(replace(setting, samples=3), ("ours",), ("x4",), fewer={"ours": 2})
    assert len(calls) == 15 and len(again.rows) == 6  # other settings are another run; two images of three pictures


def test_rows_alone_are_enough_where_no_pictures_are_wanted(setting, monkeypatch):
    calls = []

    def counted(*given, **named):
        calls.append(1)
        return restore(*given, **named)

    restore = generative.restore
    monkeypatch.setattr(generative, "restore", counted)
    wish = Wish(methods=("ours",), tasks=("x4",), pictured=False)
    evaluate([setting], wish)
    bare = replace(setting, out=setting.out / "rows only")
    bare.out.mkdir()
    shutil.copy(setting.out / study.ROWS_FILE, bare.out)
    evaluate([bare], replace(wish, methods=("nearest", "ours"), tasks=("x2", "x4")))
    assert len(calls) == 6 + 6  # of x2 alone
    before, after = read_rows(setting.out / study.ROWS_FILE), read_rows(bare.out / study.ROWS_FILE)
    assert before and all(row in after for row in before) and len(after) == 2 * len(before) + 2 * 6
    evaluate([bare], replace(wish, pictured=True))
    assert len(calls) == 6 + 6 + 6  # pictures are made again
    with pytest.raises(InputError, match="another seed"):
        evaluate([replace(bare, seed=1)], wish)


def test_two_processes_find_what_one_finds(setting):
    alone = replace(setting, prior=None, count=4)
    methods, tasks = ("bicubic", "mean-image"), ("mask-0", "x4")
    one = run_grid(alone, methods, tasks)
    two = run_grid(replace(alone, out=setting.out / "two"), methods, tasks, processes=2)
    cost = {"seconds": 0.0, "busy": 0.0, "megabytes": None}
    assert [replace(row, **cost) for row in one.rows] == [replace(row, **cost) for row in two.rows]
    assert len(two.rows) == 8 and two.rows[0].efficientnet > 0


def test_a_rival_that_fails_is_a_note(setting, monkeypatch):
    class Failing:
        name, title, family = "bicubic", "fails", "training-free"
        fingerprint = prepare = lambda self, *_: {}

        def solves(self, task):
            return task.kind == "low-res"

        def restore(self, observed, task, seed):
            raise RuntimeError("singular matrix")

    monkeypatch.setitem(METHODS, "bicubic", lambda _setting: Failing())
    tables = evaluate([setting], Wish(methods=("bicubic", "nearest"), tasks=("x2", "x4")))
    assert {line.method for line in tables.lines("toy")} == {"nearest"}
    assert tables.notes == ["toy: bicubic on x2: singular matrix", "toy: bicubic on x4: singular matrix"]
    assert "## Left out" in (setting.out / study.TABLES_FILE).read_text()


def test_methods_are_added_one_by_one(setting):
    evaluate([setting], Wish(methods=("ours",), tasks=("x4",)))
    tables = evaluate([setting], Wish(methods=("bicubic",), tasks=("x4",)))
    assert [line.method for line in tables.lines("toy")] == ["bicubic", "ours", "ours-mean", "ours-sample"]
    rows = read_rows(setting.out / "rows.csv")
    assert len(rows) == 24 and {row.version for row in rows} == {tables.rows[0].version}
    text = (setting.out / study.TABLES_FILE).read_text()
    assert "### RMSE: ours less the others" in text and "6 images of 3 subjects that no training saw; seed 0" in text
    first = rows[0]
    write_rows(setting.out / "copy.csv", rows)
    assert read_rows(setting.out / "copy.csv")[0] == first
    path = setting.out / "copy.csv"
    path.write_text(path.read_text().replace(f"{first.rmse:.6g}", "much", 1))
    with pytest.raises(InputError, match=r"copy\.csv is damaged behind line 1"):
        read_rows(path)
    path.write_bytes(path.read_bytes() + b"\xff")
    with pytest.raises(InputError, match="is damaged"):
        read_rows(path)
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="other columns"):
        read_rows(path)


def test_rows_of_another_seed_are_not_replaced(setting):
    evaluate([setting], Wish(methods=("bicubic",), tasks=("x4",)))
    before = (setting.out / "rows.csv").read_bytes()
    with pytest.raises(InputError, match="holds rows of bicubic made with another seed, prior, settings or version"):
        evaluate([replace(setting, seed=7)], Wish(methods=("bicubic",), tasks=("x4",)))
    assert (setting.out / "rows.csv").read_bytes() == before
    with pytest.raises(InputError, match="none of the methods bicubic does any of the tasks mask-2"):
        evaluate([setting], Wish(methods=("bicubic",), tasks=("mask-2",)))


@pytest.mark.parametrize("left", [0, 300])
def test_a_damaged_cell_is_made_again(setting, left):
    first = run_grid(setting, ("bicubic", "mean-image"), ("x4", "mask-2"), fewer={"bicubic": 2, "mean-image": 2})
    files = sorted(setting.out.rglob("*.npz"))
    assert len(files) == 5  # four cells, and what was learned
    for file in files:
        file.write_bytes(file.read_bytes()[:left])
    again = run_grid(setting, ("bicubic", "mean-image"), ("x4", "mask-2"), fewer={"bicubic": 2, "mean-image": 2})
    assert [row.rmse for row in again.rows] == [row.rmse for row in first.rows] and not again.failures


def test_a_process_that_is_killed_is_a_sentence(setting, monkeypatch):
    def killed(*_given):
        raise BrokenProcessPool("abruptly")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", killed)
    with pytest.raises(BrgmError, match=r"ended from outside, .*what is done is kept"):
        run_grid(replace(setting, prior=None), ("bicubic",), ("x4",), processes=2)


def test_usual_methods_without_what_they_need_are_left_out(setting):
    wish = Wish(tasks=("x8",))
    tables = evaluate([replace(setting, prior=None)], wish)
    found = {line.method for line in tables.lines("toy")}
    assert "bicubic" in found and "ours" not in found
    assert any(note == "toy: ours: our methods need a prior; name one with --prior, or choose only rivals"
               for note in tables.notes)  # fmt: skip


def test_refusals(setting, data, tmp_path):
    with pytest.raises(InputError, match="no method 'gan'"):
        evaluate([setting], Wish(methods=("gan",)))
    with pytest.raises(InputError, match="no task 'x3'"):
        evaluate([setting], Wish(methods=("bicubic",), tasks=("x3",)))
    with pytest.raises(InputError, match="need a prior"):
        method_of("ours", replace(setting, prior=None))
    with pytest.raises(InputError, match="the weights of optz are not there; train it"):
        method_of("optz", setting)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        evaluate([replace(setting, out=tmp_path / "file" / "x")], Wish(methods=("bicubic",)))


def test_subjects_that_were_trained_on_are_refused(data, tmp_path, setting):
    mixed = tmp_path / "data" / "toy"
    mixed.mkdir(parents=True)
    for name in ("train", "validation"):
        (mixed / f"{name}.zip").write_bytes((data / "toy" / f"{name}.zip").read_bytes())
    with (
        zipfile.ZipFile(data / "toy" / "train.zip") as source,
        zipfile.ZipFile(mixed / "validation.zip", "a") as target,
    ):
        target.writestr("subject-003/slice-09.png", source.read("subject-003/slice-00.png"))
    with pytest.raises(InputError, match=r"1 subjects of validation\.zip are in train\.zip too, subject-003"):
        run_grid(replace(setting, data=tmp_path / "data"), ("bicubic",), ("x4",))


@pytest.mark.shared
def test_published_rows_come_back(shared_data):
    """Rows of the protocol that need no training slices; 0.1 is what its rounding leaves."""
    held, tasks = SETS[0], {task.name: task for task in grid_tasks(128)}
    slices = held.read(shared_data, "validation")
    truth = grey_images(slices, evenly_spaced(len(slices), 50))
    expected = (
        (Biharmonic(), "mask-2", 39.1), (Enlargement("bicubic"), "x2", 6.2), (Enlargement("bicubic"), "x8", 26.8),
        (Enlargement("bicubic", 8), "x4", 14.3),
    )  # fmt: skip
    for method, place, value in expected:
        task = tasks[place]
        observed = task.observe(truth)
        images = np.stack([method.restore(image, task, 0).estimate for image in observed])
        finished = task.finish(images, observed)
        assert rmse(finished, truth, task.region) == pytest.approx(value, abs=0.1), (method.name, place)


def test_what_is_doubtful_in_ones_own_images_stands_before_their_figures(tmp_path, brain_prior):
    """An image that the prior cannot have made, of a pixel size that nobody has said."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    known = 127.5 * (brain_prior.sample(1, seed=1)[0, 0].numpy() + 1)
    for name, image in (("known", known), ("strange", np.indices((128, 128)).sum(axis=0) % 16 // 8 * 255.0)):
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    said = {}
    for pixel_mm in (None, 1.5):
        out = tmp_path / f"out {pixel_mm}"
        setting = Setting(OwnScans.of(brain_prior, pixel_mm), folder, out, brain_prior, count=4, device="cpu")
        evaluate([setting], Wish(methods=("bicubic",), tasks=("x2",)))
        said[pixel_mm] = (out / study.TABLES_FILE).read_text()
        page = (out / study.PAGE_FILE).read_text()
        assert all("1 of 2 images are unlike what brain-axial-128" in text for text in (said[pixel_mm], page))
    assert "1.5 mm is assumed, as the prior has it; --pixel-mm" in said[None]
    assert "is assumed" not in said[1.5]


def test_scans_of_ones_own_take_the_place_of_a_set(tmp_path, prior, smooth_images):
    """A volume is cut into the prior's plane and frame, and turned as the prior's images are."""
    slices = 127.5 * (smooth_images(5, 40, 4)[:, 0].numpy() + 1)
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("one", "two"):
        volume = np.ascontiguousarray(slices.transpose(2, 1, 0))  # 40 x 40 voxels in plane, 5 slices
        nib.save(nib.Nifti1Image(volume.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0])), folder / f"{name}.nii.gz")
    turned = copy.copy(prior)
    turned.info = replace(prior.info, rotation=180.0)
    usual, other = OwnScans.of(prior), OwnScans.of(turned)
    assert np.array_equal(usual.read(folder, "validation").images[:, 0, ::-1, ::-1],
                          other.read(folder, "validation").images[:, 0])  # fmt: skip
    setting = Setting(usual, folder, tmp_path / "out", prior, count=4, samples=2, device="cpu", settings=FAST)
    tables = evaluate([setting], Wish(tasks=("x4",)))
    assert tables.sets == ["own-32"] and "mean-image" not in {line.method for line in tables.lines("own-32")}
    assert len(tables.of("own-32", "x4", "ours")) == 4 == len({row.image for row in tables.rows})
    assert {row.subject for row in tables.rows} == {0, 1}
    assert "own-32: linear: there are no training slices beside scans of one's own" in " ".join(tables.notes)
    assert "whether a prior was trained on them is not known" in (tmp_path / "out" / study.TABLES_FILE).read_text()

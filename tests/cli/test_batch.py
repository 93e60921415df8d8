"""``napari-brgm batch`` and ``--resume``: nothing that was finished is lost, whatever is killed."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np
import psutil
import pytest
from small_batch import batch_of, images_in, small_batch

from napari_brgm.cli import restoration
from napari_brgm.cli.kept import KeptSlices, Unfinished, key_of
from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import InputError

KILLS = int(os.environ.get("NAPARI_BRGM_KILLS", "2"))  # 10 and more: in 64 slices
COUNT = (24, 20, 20) if KILLS >= 10 else (8, 7, 7)  # slices of three scans


@pytest.fixture(scope="module")
def job(tmp_path_factory, random_stylegan2):
    """Folders of three scans of 32 px and masks of every slice, and the options of a quick task with a small prior."""
    folder = tmp_path_factory.mktemp("job")
    return folder, small_batch(folder, random_stylegan2, COUNT)


def command(job, out, *more: object) -> list[str]:
    folder, task = job
    return [sys.executable, "-m", "napari_brgm", *batch_of(folder, out, task, *more)]


def posteriors(out) -> dict[str, Restoration]:
    return {path.name: Restoration.load(path) for path in sorted(out.rglob("*.safetensors"))}


def table(out) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "batch.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    done = subprocess.run(command(job, out, "--processes", 1), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done


def test_each_scan_has_its_folder_and_the_table_its_line(undisturbed):
    out, done = undisturbed
    lines = table(out)
    assert [(line["name"], line["state"], line["slices"]) for line in lines] == [
        (f"s{number}", "done", str(count)) for number, count in enumerate(COUNT)
    ]
    assert all((out / line["image"]).is_file() for line in lines)
    assert "3 of 3 restored" in done.stderr and str(out / "batch.csv") in done.stdout
    assert not list(out.rglob(".unfinished-*"))
    assert (out / "batch-001.png").is_file()
    modes = {path.stat().st_mode & 0o077 for path in out.rglob("*")}
    assert modes == {0}


def workers_of(running) -> list[psutil.Process]:
    found = []
    with suppress(psutil.Error):
        for one in psutil.Process(running.pid).children():
            with suppress(psutil.Error):  # it has just ended
                if "spawn_main" in " ".join(one.cmdline()):
                    found.append(one)
    return found


def test_killed_again_and_again_it_gives_the_same(job, undisturbed, tmp_path):
    """Workers and the main process, at random: each slice is there once, and equal to those of an undisturbed run.

    Ten times, in 64 slices: NAPARI_BRGM_KILLS=10.
    """
    out, dice, kills, whole, before = tmp_path / "out", random.Random(7), 0, undisturbed[0], 0
    told = (tmp_path / "told.txt").open("w+")
    start = partial(subprocess.Popen, command(job, out, "--processes", 2), stdout=subprocess.DEVNULL, stderr=told)
    running = start()
    deadline = time.monotonic() + 600
    while kills < KILLS and time.monotonic() < deadline:
        if running.poll() is not None:  # all is done, or rows are given up
            if len(list(out.rglob("*Estimate*.nii.gz"))) == len(COUNT):
                break
            running = start()
        workers = workers_of(running)
        made = len([path for path in out.rglob("*.safetensors") if ".brgm-" not in str(path)])
        if not workers or made <= before:  # something was made since the last one
            time.sleep(0.02)
            continue
        before = made
        time.sleep(dice.uniform(0, 0.2))
        if kills % 2 == 1:
            running.send_signal(signal.SIGKILL)
            running.wait()
            running = start()
        else:
            with suppress(psutil.NoSuchProcess):
                dice.choice(workers).kill()
        kills += 1
    running.wait(timeout=600)
    told.close()
    again = subprocess.run(command(job, out, "--processes", 1), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert kills >= min(KILLS, 2)
    assert images_in(out) == images_in(whole)
    found, wanted = posteriors(out), posteriors(whole)
    assert list(found) == list(wanted) and len(found) == sum(COUNT)
    for name, one in found.items():
        np.testing.assert_array_equal(one.samples, wanted[name].samples)
        np.testing.assert_array_equal(one.variance, wanted[name].variance)
    assert not list(out.rglob(".unfinished-*"))


def test_what_is_broken_stops_nobody_and_is_told(job, undisturbed, tmp_path, shell):
    folder, task = job
    rows = tmp_path / "rows.csv"
    (tmp_path / "broken.nii.gz").write_bytes(b"no scan")
    shutil.copyfile(folder / "scans" / "s0.nii.gz", tmp_path / "two\nlines.nii.gz")
    rows.write_text(
        "scan,mask,name,index\n"
        f"{folder}/scans/s0.nii.gz,{folder}/masks/s0_mask.nii.gz,good,3\n"
        f"broken.nii.gz,{folder}/masks/s0_mask.nii.gz,broken,\n"
        f"gone.nii.gz,{folder}/masks/s0_mask.nii.gz,gone,\n"
        f'"two\nlines.nii.gz",{folder}/masks/s0_mask.nii.gz,,4\n'
    )
    done = shell("batch", "--job", rows, "--out", tmp_path / "out", "--processes", 1, "--json", *task)
    assert done.exit_code == 1, done.output
    assert "broken failed: broken.nii.gz" in done.stderr and "gone failed: there is no gone.nii.gz" in done.stderr
    assert "2 of 4 restored, 2 failed" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"row": "good", "state": "done"}.items() <= next(one for one in lines if one.get("row") == "good").items()
    assert lines[-1]["ended"] == lines[-1]["rows"] == 4
    found = {line["name"]: line for line in table(tmp_path / "out")}
    assert found["broken"]["state"] == "failed" and found["good"]["slices"] == "1"
    assert found["two_lines"]["slices"] == "1" and (tmp_path / "out" / found["two_lines"]["image"]).is_file()


def test_results_that_are_gone_or_cut_short_are_made_again(job, tmp_path, shell):
    """Catches a batch that says done of half a result."""
    folder, task = job
    rows, out = tmp_path / "rows.csv", tmp_path / "out"
    gone = {"v": "*Variance*.nii.gz", "r": "*Estimate*.json", "e": "*Estimate*.nii.gz", "p": "*.safetensors", "w": None}
    line = f"{folder}/scans/s0.nii.gz,{folder}/masks/s0_mask.nii.gz"
    rows.write_text("scan,mask,name,index\n" + "".join(f"{line},{name},{i}\n" for i, name in enumerate(gone)))
    command = ("batch", "--job", rows, "--out", out, "--processes", 1, *task)
    assert shell(*command).exit_code == 0
    before, whole = images_in(out), next((out / "w").glob("*.nii.gz")).stat().st_mtime_ns
    assert len(before) == 2 * len(gone)
    files = [next((out / name).glob(pattern)) for name, pattern in gone.items() if pattern is not None]
    for file in files[1:]:
        file.unlink()
    files[0].write_bytes(files[0].read_bytes()[:100])
    done = shell(*command)
    assert done.exit_code == 0 and all(file.is_file() for file in files), done.output
    assert images_in(out) == before and next((out / "w").glob("*.nii.gz")).stat().st_mtime_ns == whole
    refused = shell(*command, "--seed", 9)
    assert refused.exit_code == 1 and refused.stderr.count("exists already") == len(gone)
    assert images_in(out) == before and f"{len(gone)} of {len(gone)} restored" in shell(*command).stderr


def test_shards_part_the_rows(job, undisturbed, tmp_path, shell):
    folder, task = job
    rows = tmp_path / "rows.csv"
    line = f"{folder}/scans/s0.nii.gz,{folder}/masks/s0_mask.nii.gz"
    rows.write_text("scan,mask,name,index\n" + "".join(f"{line},r{i},{i}\n" for i in range(3)))
    out = tmp_path / "out"
    done = shell("batch", "--job", rows, "--out", out, "--processes", 1, "--shard", "2/2", *task)
    assert done.exit_code == 0 and sorted(path.name for path in out.iterdir() if path.is_dir()) == [".batch", "r1"]
    assert "1 of 1 restored" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["inpaint"], "either --scans, or --job"),
        (["--scans", "{scans}", "inpaint"], "give the folder of --masks"),
        (["--scans", "{scans}", "--masks", "{masks}", "superres"], "superres takes no masks"),
        (["--scans", "{scans}", "--masks", "{masks}", "paint"], "'paint' is no task"),
        (["--scans", "{scans}", "--masks", "{masks}", "inpaint", "--colour", "red"], "No such option: --colour"),
        (["--scans", "{scans}", "--masks", "{masks}", "inpaint", "--save-video", "a.gif"], "--save-video shows one"),
        (["--scans", "{scans}", "--shard", "3/2", "superres"], "such as 2/8"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything(job, tmp_path, shell, arguments, sentence):
    folder, _ = job
    places = {"{scans}": folder / "scans", "{masks}": folder / "masks"}
    out = tmp_path / "out"
    assert sentence in shell.refused("batch", "--out", out, *(places.get(one, one) for one in arguments))
    assert not out.exists()


def resumed(job, shell, out, *more: object):
    folder, (task, *options) = job
    scan, mask = folder / "scans" / "s2.nii.gz", folder / "masks" / "s2_mask.nii.gz"
    return shell(task, scan, "--mask", mask, "--out", out, "--resume", *options, *more)


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(job, undisturbed, tmp_path, shell, monkeypatch):
    out, made, own = tmp_path / "out", [], restoration.engine_at("cpu", "")

    def counted(given, tell, keep, only):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.extend(only)
        return own(given, tell, keep, only)

    monkeypatch.setattr(restoration, "engine_at", lambda device, prior: counted)
    assert resumed(job, shell, out).exit_code == 130
    assert made == [0, 1, 2, 3] and not list(out.glob("*.nii.gz"))
    made.append(-1)  # no more interrupts
    assert resumed(job, shell, out).exit_code == 0
    assert made[5:] == list(range(4, COUNT[2]))
    whole = images_in(undisturbed[0] / "s2")
    assert images_in(out) == whole
    files = resumed(job, shell, out)
    assert files.exit_code == 0 and len(made) == COUNT[2] + 1  # nothing is done where results are there
    assert "s2_desc-brgmInpaintEstimate_image.nii.gz" in files.stdout
    record = next(out.glob("*Estimate*.json"))
    said = {path: path.read_text() for path in out.glob("*.json")}
    for path in said:
        path.unlink()
        assert resumed(job, shell, out).exit_code == 0 and record.is_file()
    assert images_in(out) == whole
    for path in said:
        path.unlink()  # posteriors alone say of what job they are
    assert resumed(job, shell, out).exit_code == 0 and all(path.is_file() for path in said)
    refused = resumed(job, shell, out, "--seed", 9)
    assert refused.exit_code == 2 and "exists already" in refused.stderr


def test_kept_slices_are_claimed_by_one_and_damage_is_taken_away(tmp_path):
    kept, other = (KeptSlices(tmp_path, key_of(a=1)) for _ in range(2))
    with kept.claimed(3) as mine, other.claimed(3) as theirs, other.claimed(4) as free:
        assert (mine, theirs, free) == (True, False, True)
    kept.refuse(0, "there is nothing to see")
    assert kept.holds([0]) and not kept.holds([0, 1]) and str(kept.load(0)) == "there is nothing to see"
    kept.file(1).write_bytes(b"torn")
    with pytest.raises(InputError, match="damaged, and was taken away; run again"):
        kept.load(1)
    assert not kept.holds([1])
    with kept.writing(), pytest.raises(Unfinished), other.writing():
        pass
    assert os.stat(kept.path).st_mode & 0o777 == 0o700

"""``napari-brgm batch --scheduler``: a real scheduler and real workers, one of which is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import batch_works
import nibabel as nib
import numpy as np
import psutil
import pytest
import torch

from napari_brgm.batch.cluster import told_by_cluster
from napari_brgm.batch.row import BatchRow
from napari_brgm.zoo.files import write_prior

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a scheduler on loopback with two workers, each with a nanny that starts it again."""
    folder = tmp_path_factory.mktemp("dask")
    file, dask = folder / "scheduler.json", [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    own = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}}  # for batch_works
    scheduler = subprocess.Popen([*dask, *here, "--port", "0", "--scheduler-file", file], **own, **QUIET)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1"]
    two = [*worker, "--nworkers", "2", *here, "--local-directory", folder]
    workers = subprocess.Popen(two, **own, **QUIET)
    until = time.monotonic() + 120
    while not file.is_file() and time.monotonic() < until:
        time.sleep(0.2)
    yield json.loads(file.read_text())["address"], workers
    for process in (workers, scheduler):
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def job(tmp_path_factory, random_stylegan2):
    """Two scans of eight slices, and what restores them quickly."""
    folder = tmp_path_factory.mktemp("job")
    write_prior(random_stylegan2, folder / "net.safetensors", torch.float32)
    drawn = random_stylegan2.sample(16, seed=3)[:, 0].numpy()
    for number in range(2):
        volume = np.moveaxis(drawn[8 * number : 8 * number + 8], 0, 2) * 100 + 300
        mask = np.zeros(volume.shape, np.uint8)
        mask[10:20, 12:22] = 1
        nib.save(nib.Nifti1Image(volume.astype(np.float32), AFFINE), folder / f"s{number}.nii.gz")
        nib.save(nib.Nifti1Image(mask, AFFINE), folder / f"s{number}_mask.nii.gz")
    task = ["inpaint", "--prior", folder / "net.safetensors", "--steps", 3, "--samples", 2, "--device", "cpu"]
    return folder, [str(part) for part in task]


def run(job, out, *more: str) -> subprocess.Popen[str]:
    folder, task = job
    command = ["batch", "--scans", str(folder), "--masks", str(folder), "--out", str(out), *more, *task]
    return subprocess.Popen(
        [sys.executable, "-m", "napari_brgm", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def images(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*.nii.gz"))}


def test_workers_give_what_one_process_gives_though_one_is_killed(job, cluster, tmp_path):
    address, workers = cluster
    alone, out = tmp_path / "alone", tmp_path / "out"
    first = run(job, alone, "--processes", "1")
    told = first.communicate(timeout=300)
    assert first.returncode == 0, told
    spread = run(job, out, "--scheduler", address, "--json")
    until = time.monotonic() + 120
    while not list(out.rglob(".unfinished-*/*.safetensors")) and time.monotonic() < until:
        time.sleep(0.05)
    at_work = [one for one in psutil.Process(workers.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    assert len(at_work) == 2
    at_work[0].kill()
    printed, said = spread.communicate(timeout=300)
    assert spread.returncode == 0, said
    lines = [json.loads(line) for line in printed.splitlines()]
    assert sorted(line["row"] for line in lines if "row" in line) == ["s0", "s1"]
    assert lines[-1]["ended"] == 2
    assert images(out) == images(alone)
    assert len(images(out)) == 4
    assert not list(out.rglob(".unfinished-*"))


def test_another_prior_under_the_same_name_is_refused_there(cluster, tmp_path, monkeypatch):
    """The hash decides, not the name."""
    address, _ = cluster
    monkeypatch.setattr(batch_works, "HASH", "ours")
    told = list(
        told_by_cluster(
            [BatchRow("a", tmp_path)],
            batch_works.plain,
            address,
            partial(batch_works.hash_of, "net"),
            lambda one: one.shared,
        )
    )
    assert "has ['net', 'theirs'] and not ['net', 'ours']; install the same there" in told[-1].outcome.reason


def test_no_scheduler_is_one_sentence(job, tmp_path, shell):
    folder, task = job
    given = ("batch", "--scans", folder, "--masks", folder, "--out", tmp_path / "out")
    assert "there is no scheduler at tcp://127.0.0.1:9" in shell.refused(
        *given, "--scheduler", "tcp://127.0.0.1:9", *task
    )
    assert "--processes are of this machine" in shell.refused(
        *given, "--scheduler", "tcp://127.0.0.1:9", "--processes", 2, *task
    )

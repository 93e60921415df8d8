"""A run on a real scheduler and real workers: what comes back, Cancel, and what is lost or refused."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread

import numpy as np
import pytest
import torch
from dask_cluster import dask_cluster
from distributed import Client
from small_batch import images_in, small_batch
from typer.testing import CliRunner

from napari_brgm.cli import app
from napari_brgm.corruptions import Downsample, Jpeg, Mask
from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.run import run
from napari_brgm.errors import BackendError, Cancelled, InputError
from napari_brgm.remote import worker as there
from napari_brgm.remote.run import WAITING, run_there
from napari_brgm.remote.scheduler import ONE_AT_A_TIME
from napari_brgm.settings import preset
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import load_prior

QUICK = preset("default").but(optimiser="adam", steps=12, preview_every=3)
LONG = QUICK.but(steps=1500)  # a minute and more


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, random_stylegan2):
    """The person's folder with a tiny prior, of this machine and of the workers."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(home))
        write_prior(random_stylegan2, home / "tiny.safetensors", torch.float32)
        import_file(home / "tiny.safetensors", "tiny")
    return home


@pytest.fixture(autouse=True)
def home(shelf, monkeypatch):
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(shelf))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, shelf):
    with dask_cluster(tmp_path_factory.mktemp("dask"), shelf) as found:
        found.worker()
        found.wait_for_workers(1)
        yield found


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the worker has
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prior(shelf):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(shelf))
        return load_prior("tiny")


@pytest.fixture
def job_of(prior):
    """``job_of(settings)``: a hole, a hole that hides nothing, coarse pixels and JPEG, in four slices."""

    def make(settings=QUICK) -> Job:
        images = prior.sample(4, seed=5)[:, 0].numpy() * 100 + 200
        hole = np.zeros((32, 32), bool)
        hole[10:18, 12:20] = True
        coarse = images[2].reshape(16, 2, 16, 2).mean((1, 3))
        slices = (
            ObservedSlice(images[0], partial(Mask, hole), (1.0, 1.0)),
            ObservedSlice(images[1], partial(Mask, np.zeros_like(hole)), (1.0, 1.0)),
            ObservedSlice(coarse, partial(Downsample, 2), (2.0, 2.0)),
            ObservedSlice(images[3], partial(Jpeg, 30), (1.0, 1.0)),
        )
        return Job(slices, prior, settings, samples=3, seed=4, device="cpu")

    return make


def same(one, other) -> None:
    assert type(one) is type(other)
    for name in ("estimate", "mean", "variance", "samples", "latents", "measured"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    assert one.trace == other.trace
    records = [
        {k: v for k, v in record.items() if k not in ("seconds", "created")}
        for record in (one.provenance, other.provenance)
    ]
    assert records[0] == records[1]


def test_what_comes_back_is_what_a_run_here_gives(cluster, job_of):
    """Bit for bit, with its records, steps and previews; a slice that cannot be restored costs itself only."""
    steps = []
    found, here = run_there(job_of(), "tiny", cluster.address, steps.append), run(job_of())
    assert isinstance(found[1], InputError) and str(found[1]) == str(here[1])
    for number in (0, 2, 3):
        same(found[number], here[number])
    assert steps[0].phase == WAITING and steps[-1].done > 0.5
    shown = [step.preview for step in steps if step.preview is not None]
    assert shown and all(image.shape == (32, 32) for image in shown)


def test_cancel_gives_what_is_finished_and_frees_the_worker(cluster, job_of):
    """Catches a worker that goes on for nobody: all sixteen slices take half a minute."""
    begun = []

    def tell(step) -> None:
        if step.slice == 2 and step.iteration > 5:
            begun.append(time.monotonic())
            raise Cancelled("enough")

    job = job_of(QUICK.but(steps=400))
    with pytest.raises(Cancelled) as raised:
        run_there(replace(job, slices=4 * job.slices), "tiny", cluster.address, tell)
    print(f"cancelled after {time.monotonic() - begun[0]:.2f} s")
    assert list(raised.value.finished) == [0]
    assert raised.value.finished[0].estimate.shape == (32, 32)
    with Client(cluster.address, set_as_default=False) as client:
        while any(client.run(at_work).values()) and time.monotonic() - begun[0] < 10:
            time.sleep(0.1)
        print(f"the worker was free after {time.monotonic() - begun[0]:.2f} s")
        assert not any(client.run(at_work).values())


def at_work() -> bool:
    return ONE_AT_A_TIME.locked() or bool(there._RUNS)


def test_a_worker_that_is_killed_is_one_sentence(cluster, job_of):
    killed = []

    def tell(step) -> None:
        if step.iteration > 5 and not killed:
            killed.append(True)
            cluster.processes[1].kill()

    cluster.worker("--no-nanny", "--name", "idle")
    with pytest.raises(BackendError, match=r"the worker tcp://127\.0\.0\.1:\d+ was lost while it restored$"):
        run_there(job_of(LONG), "tiny", cluster.address, tell)
    cluster.wait_for_workers(1)


def test_another_prior_under_the_same_name_is_refused(cluster, job_of, tmp_path, monkeypatch):
    job = job_of()
    other = replace(job.prior.info, weights_sha256="0" * 64)
    monkeypatch.setattr(job.prior, "info", other)
    said = r"refuses the run: its prior tiny is another than that of this machine \(the hashes differ\)"
    with pytest.raises(BackendError, match=said):
        run_there(job, "tiny", cluster.address)
    with pytest.raises(BackendError, match="refuses the run: there is no prior 'unheard-of'"):
        run_there(job, "unheard-of", cluster.address)


def test_what_cannot_be_done_anywhere_is_said_as_here(cluster, job_of):
    job = replace(job_of(), slices=job_of().slices[1:2])
    with pytest.raises(InputError, match="mask") as raised:
        run_there(job, "tiny", cluster.address)
    assert raised.value.number == 0


def test_no_scheduler_is_one_sentence(job_of, monkeypatch):
    monkeypatch.setattr(import_module("napari_brgm.remote.run"), "CONNECT_SECONDS", 1.0)
    with pytest.raises(BackendError, match=r"there is no scheduler at tcp://127\.0\.0\.1:9"):
        run_there(job_of(), "tiny", "tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="'head' is no address of a dask scheduler"):
        run_there(job_of(), "tiny", "head")


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no dask scheduler"), (b"", "there is no scheduler at")],
)
def test_another_server_at_the_address_is_one_sentence(job_of, monkeypatch, answer, why):
    """A web server, whose first bytes dask takes for a length; and one that takes calls and says nothing."""
    monkeypatch.setattr(import_module("napari_brgm.remote.run"), "CONNECT_SECONDS", 0.5)
    calls: list[socket.socket] = []

    def answered() -> None:
        with suppress(OSError):  # closed
            while True:
                calls.append(server.accept()[0])
                calls[-1].sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=answered, daemon=True).start()
        with pytest.raises(BackendError, match=why):
            run_there(job_of(), "tiny", f"tcp://127.0.0.1:{server.getsockname()[1]}")
    for call in calls:
        call.close()


@pytest.mark.parametrize("resume", [False, True])
def test_the_shell_sends_slices_by_value(cluster, prior, tmp_path, resume):
    """The same files as here, in parts or at once; a scan that lies on this machine alone."""
    task = small_batch(tmp_path, prior, (3,))[1:-4]
    task[1] = "tiny"
    scan, mask = tmp_path / "scans" / "s0.nii.gz", tmp_path / "masks" / "s0_mask.nii.gz"
    more = ["--resume"] if resume else []
    for device in ("cpu", cluster.address):
        given = ["inpaint", scan, "--mask", mask, "--out", tmp_path / device[:3], *task, "--device", device, *more]
        done = CliRunner().invoke(app, [str(one) for one in given])
        assert done.exit_code == 0, done.output
    assert f"on a worker of {cluster.address}: the pixels of these slices go there" in done.stderr
    assert images_in(tmp_path / "cpu") == images_in(tmp_path / "tcp") != {}
    if resume:
        again = CliRunner().invoke(app, [str(one) for one in given])
        assert again.exit_code == 0 and again.stdout == done.stdout


def test_the_shell_says_what_is_lost(prior, tmp_path):
    small_batch(tmp_path, prior, (1,))
    scan, mask = tmp_path / "scans" / "s0.nii.gz", tmp_path / "masks" / "s0_mask.nii.gz"
    given = ["inpaint", scan, "--mask", mask, "--out", tmp_path / "out", "--prior", "tiny", "--device"]
    done = CliRunner().invoke(app, [*map(str, given), "tcp://127.0.0.1:1"])
    assert done.exit_code == 2
    assert "there is no scheduler at tcp://127.0.0.1:1" in done.stderr
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, [*map(str, given), "http://a b"])
    assert done.exit_code == 2 and "is no address of a dask scheduler" in done.stderr
    rows = ["batch", "--scans", tmp_path / "scans", "--masks", tmp_path / "masks", "--out", tmp_path / "out"]
    both = [*rows, "--scheduler", "tcp://a:1", "inpaint", "--prior", "tiny", "--device", "tcp://a:1"]
    done = CliRunner().invoke(app, [str(one) for one in both])
    assert done.exit_code == 2 and "leave one out" in done.stderr


def test_a_scheduler_that_is_killed_is_one_sentence(cluster, job_of):
    """The last test: nothing is left to run on."""

    def tell(step) -> None:
        if step.iteration > 5:
            cluster.scheduler.kill()

    with pytest.raises(BackendError, match=rf"the scheduler at {cluster.address} is gone$"):
        run_there(job_of(LONG), "tiny", cluster.address, tell)

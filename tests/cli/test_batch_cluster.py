"""``napari-brgm batch --scheduler``: a real scheduler and real workers, one of which is killed, one cut off."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import batch_works
import psutil
import pytest
from dask_cluster import dask_cluster
from small_batch import batch_of, images_in, small_batch
from typer.testing import CliRunner

from napari_brgm.batch.cluster import told_by_cluster
from napari_brgm.batch.row import BatchRow
from napari_brgm.cli import app

NANNY = ("--nanny", "--nworkers", "1")
QUICK = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}  # in place of 30; dask takes no less


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler on loopback with one worker, which a nanny starts again."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), tmp_path_factory.mktemp("home")) as found:
        found.first = found.worker(*NANNY)
        yield found


@pytest.fixture(scope="module")
def job(tmp_path_factory, random_stylegan2):
    """Two scans of ten slices, and what restores them quickly."""
    folder = tmp_path_factory.mktemp("job")
    return folder, small_batch(folder, random_stylegan2, (10, 10))


@pytest.fixture(scope="module")
def alone(job, tmp_path_factory):
    """Images of one process."""
    folder, task = job
    out = tmp_path_factory.mktemp("alone") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(out.with_name("home")))
        done = CliRunner().invoke(app, batch_of(folder, out, task, "--processes", 1))
    assert done.exit_code == 0, done.output
    return images_in(out)


@contextmanager
def once(seen, then):
    """Do something as soon as something is seen, beside the block."""

    def watch():
        while not over.is_set() and not seen():
            time.sleep(0.02)
        then()

    over, thread = threading.Event(), threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_one_worker_gives_what_one_process_gives_though_it_is_killed(job, alone, cluster, tmp_path, shell):
    folder, task = job
    out, killed = tmp_path / "out", []

    def kill():
        children = psutil.Process(cluster.first.pid).children()
        (at_work,) = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
        at_work.kill()
        killed.append(sorted(path.name for path in out.rglob("*Estimate*.nii.gz")))

    cluster.wait_for_workers(1)
    with once(lambda: list(out.rglob(".unfinished-*/*.safetensors")), kill):
        done = shell(*batch_of(folder, out, task, "--scheduler", cluster.address, "--json"))
    assert done.exit_code == 0, done.stderr
    assert killed == [[]]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["row"] for line in lines if "row" in line) == ["s0", "s1"]
    assert lines[-1]["ended"] == 2
    assert images_in(out) == alone and len(alone) == 4
    assert not list(out.rglob(".unfinished-*"))


def test_so_do_three_workers(job, alone, cluster, tmp_path, shell):
    """One more than there are scans: it helps with one of them."""
    folder, task = job
    for _ in range(2):
        cluster.worker()
    cluster.wait_for_workers(3)
    done = shell(*batch_of(folder, tmp_path / "out", task, "--scheduler", cluster.address))
    assert done.exit_code == 0, done.stderr
    assert images_in(tmp_path / "out") == alone


def test_another_prior_under_the_same_name_is_refused_there(cluster, tmp_path, monkeypatch):
    """The hash decides, not the name."""
    monkeypatch.setattr(batch_works, "HASH", "ours")
    told = list(
        told_by_cluster(
            [BatchRow("a", tmp_path)],
            batch_works.plain,
            cluster.address,
            partial(batch_works.hash_of, "net"),
            lambda one: one.shared,
        )
    )
    assert "has ['net', 'theirs'] and not ['net', 'ours']; install the same there" in told[-1].outcome.reason


def test_no_scheduler_is_one_sentence(job, tmp_path, shell):
    folder, task = job
    given = partial(batch_of, folder, tmp_path / "out", task, "--scheduler", "tcp://127.0.0.1:9")
    assert "there is no scheduler at tcp://127.0.0.1:9: Connection refused; start one" in shell.refused(*given())
    assert "--processes are of this machine" in shell.refused(*given("--processes", 2))


class Hosts:
    """Network namespaces: 'head', and hosts that only a cable of two ends joins to it."""

    def __init__(self, stack: ExitStack, count: int) -> None:
        self.mark, self.stack = f"brgm{os.getpid()}", stack
        remove_stale_hosts()
        for name in ("head", *map(str, range(count))):
            ip("netns", "add", self.name(name))
            stack.callback(ip, "netns", "delete", self.name(name))  # its cables go with it
            ip("-n", self.name(name), "link", "set", "lo", "up")
        for number in range(count):
            here, there, cable = self.name("head"), self.name(str(number)), f"cable{number}"
            ip("-n", here, "link", "add", cable, "type", "veth", "peer", "name", "cable", "netns", there)
            for place, end, address in ((here, cable, 1), (there, "cable", 2)):
                ip("-n", place, "address", "add", f"10.217.{number}.{address}/24", "dev", end)
                ip("-n", place, "link", "set", end, "up")

    def name(self, host: str) -> str:
        return f"{self.mark}-{host}"

    def start(self, host: str, folder: Path, *command: object, **how: object) -> subprocess.Popen[str]:
        """A Python module on a host; killed at the end."""
        inside = ["ip", "netns", "exec", self.name(host), sys.executable, "-m", *map(str, command)]
        environment = os.environ | QUICK | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(inside, cwd=folder, env=environment, text=True, **how)
        self.stack.callback(process.wait, 30)
        self.stack.callback(process.kill)
        return process


def remove_stale_hosts() -> None:
    """Those of test runs that were killed outright, with what runs on them."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines()):
        owner = re.fullmatch(r"brgm(\d+)-\w+", name)
        if owner is not None and not psutil.pid_exists(int(owner[1])):
            inside = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True).stdout
            for number in inside.split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def why_no_hosts() -> str:
    """Why there can be none here; '': there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "network namespaces are made by ip, of Debian's iproute2"
    name = f"brgm{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        ip("netns", "delete", name)
    return made.stderr.strip()


def test_a_host_that_is_cut_off_in_mid_job_costs_what_it_was_working_on(job, alone, tmp_path):
    """Its cable is pulled, so that nobody hears of its end, and it is off the disk; the other helps with its row."""
    if why := why_no_hosts():
        pytest.skip(why)
    folder, task = job
    out, log = tmp_path / "out", tmp_path / "scheduler.log"
    with ExitStack() as stack:
        hosts, written = Hosts(stack, 2), stack.enter_context(log.open("w"))
        hosts.start(
            "head", tmp_path, "distributed.cli.dask_scheduler", "--no-dashboard", "--port", 8786, stderr=written
        )
        workers = [
            hosts.start(
                host, tmp_path, "distributed.cli.dask_worker", f"tcp://10.217.{host}.1:8786", "--host",
                f"10.217.{host}.2", "--nthreads", 1, "--no-nanny", "--no-dashboard", stderr=subprocess.DEVNULL,
            )
            for host in "01"
        ]  # fmt: skip
        until = time.monotonic() + 60
        while log.read_text().count("Starting worker compute stream") < 2 and time.monotonic() < until:
            time.sleep(0.05)
        command = batch_of(folder, out, task, "--scheduler", "tcp://127.0.0.1:8786")
        batch = hosts.start("head", tmp_path, "napari_brgm", *command, stderr=subprocess.PIPE)
        while not all(list(out.glob(f"{name}/.unfinished-*/*.safetensors")) for name in ("s0", "s1")):
            assert batch.poll() is None and time.monotonic() < until + 60, batch.communicate()[1][-3000:]
            time.sleep(0.01)
        ip("-n", hosts.name("head"), "link", "set", "cable0", "down")
        workers[0].kill()
        there = sorted(path.name for path in out.rglob("*Estimate*.nii.gz"))
        _, said = batch.communicate(timeout=120)
    assert len(there) < 2
    assert batch.returncode == 0 and "2 of 2 restored" in said, said
    assert images_in(out) == alone
